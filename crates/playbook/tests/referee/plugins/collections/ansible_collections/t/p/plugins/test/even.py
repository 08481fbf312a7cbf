class TestModule(object):
    def tests(self):
        return {"even": lambda v: v % 2 == 0}
