# Beside the bundle: what all of its policies may use.
package people

name := input.attributes.request.http.headers["x-who"]
