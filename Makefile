.PHONY: run test test-postgres check bench lab dev lock image-debian
run test test-postgres check bench lab dev lock image-debian:
	@./scripts/$@ $(ARGS)
