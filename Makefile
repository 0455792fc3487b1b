.PHONY: run test test-postgres test-compose check bench fuzz lab dev lock client image-debian words
run test test-postgres test-compose check bench fuzz lab dev lock client image-debian words:
	@./scripts/$@ $(ARGS)
