# A policy as opa-envoy-plugin takes it, served as it is:
#
#   extauthz serve --opa-config policies/opa-envoy/config.json policies/opa-envoy
#
# Callers name themselves by Basic credentials, which nobody verifies here: put a filter that does in front, or take
# input.principal from a policy set (--policy).
package envoy.authz

import input.attributes.request.http

default decision := {"allowed": false, "http_status": 403, "body": "not for you\n"}

decision := {"allowed": true} if public

decision := {
	"allowed": false,
	"http_status": 401,
	"headers": {"www-authenticate": "Basic realm=\"shop\""},
} if {
	not public
	not user
}

decision := {
	"allowed": true,
	"headers": {"x-user": user},
	"request_headers_to_remove": ["authorization"],
	"dynamic_metadata": {"roles": roles},
} if {
	not public
	permitted
}

public if {
	http.method == "GET"
	input.parsed_path == ["healthz"]
}

user := name if {
	[scheme, encoded] := split(http.headers.authorization, " ")
	lower(scheme) == "basic"
	[name, _] := split(base64.decode(encoded), ":")
	name != ""
}

roles contains role if {
	some role, members in data.members
	user in members
}

permitted if {
	some role in roles
	some permission in data.permissions[role]
	http.method in permission.methods
	input.parsed_path[0] == permission.collection
}
