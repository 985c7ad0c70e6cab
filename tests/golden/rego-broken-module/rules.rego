package shop

allow if http.send({"url": "http://x.example"}).status_code == 200

spoofed if {
	some x in input.claims.list
	y == x
}

deep if lowercase("A") == "a"
