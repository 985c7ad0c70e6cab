# The last word on what the policy set allows: nothing for callers that operations have blocked.
package shop

default allow := false

allow if not is_blocked

is_blocked if input.principal.subject in data.blocked
