def near(v): return "near " + str(v)
