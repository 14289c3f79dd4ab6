import Runtime

print("x")
