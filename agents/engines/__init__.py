"""The engines of the fixer: ways to turn an issue into changed files (`engine` has the contract and who offers one)."""
