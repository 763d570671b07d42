def compile(fn=None, **kw): return fn
