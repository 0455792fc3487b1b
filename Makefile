.PHONY: run test check bench lab dev lock image-debian
run test check bench lab dev lock image-debian:
	@./scripts/$@ $(ARGS)
