.PHONY: run test test-postgres test-compose check bench fuzz lab dev lock client image-debian
run test test-postgres test-compose check bench fuzz lab dev lock client image-debian:
	@./scripts/$@ $(ARGS)
