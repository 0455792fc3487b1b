.PHONY: run test test-postgres test-compose check bench fuzz lab dev lock image-debian
run test test-postgres test-compose check bench fuzz lab dev lock image-debian:
	@./scripts/$@ $(ARGS)
