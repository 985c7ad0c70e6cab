package approval_test

import data.approval

asked(amount) := {"parsed_body": {"amount": amount, "department": "books"}, "claims": {"department": "books"}}

test_within if {
	request := asked(5000)
	approval.within_limit with input as request
}

test_beyond if {
	request := asked(5001)
	print("asking for", request.parsed_body.amount, request.author)
	approval.within_limit with input as request
}

test_error if to_number("many") > 1

todo_test_directors if false
