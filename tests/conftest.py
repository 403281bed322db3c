from hypothesis import settings

# The machine that runs the tests may be busy with others: an example that takes long is no failure.
settings.register_profile("sublm", deadline=None)
settings.load_profile("sublm")
