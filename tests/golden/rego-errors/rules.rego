package shop

allow if input.path.x == "1"

spoofed if input.attributes.request.http.headers["x-user"] == "root"
