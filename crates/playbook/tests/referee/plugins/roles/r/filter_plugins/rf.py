class FilterModule(object):
    def filters(self):
        return {"of_role": lambda v: "role " + v, "shout": lambda v: "never"}
