package shop.hours

closed if time.clock(time.now_ns())[0] >= 22
