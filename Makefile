# SPDX-License-Identifier: Apache-2.0
#
# The short names for what scripts/, tools/ and CMake do. Every target may be repeated.
PRESET ?= cpu
PREFIX ?= /usr/local
JOBS ?= $(shell nproc)

.DEFAULT_GOAL := help
.PHONY: help demo build test lint layers asan test-interop bench golden install clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

demo:  ## build, get a small real model, quantize it to 4 bits and ask it a question
	scripts/demo

build:  ## install missing packages, configure and build (PRESET=cpu, debug, tsan, clang19)
	scripts/build $(PRESET)

test: build  ## build and run every test
	ctest --test-dir build/$(PRESET) -j $(JOBS) --output-on-failure

lint:  ## clang-format and clang-tidy
	scripts/setup --lint
	tools/lint

layers:  ## check that every folder includes only what tools/layers.txt allows
	tools/check_layers.py

asan:  ## run every test under AddressSanitizer and UndefinedBehaviorSanitizer
	$(MAKE) test PRESET=asan

test-interop:  ## compare with transformers, bitsandbytes and GPTQModel, in environments of their own (6 GB)
	tests/interop/run

bench:  ## build and run the benchmarks
	scripts/bench

golden:  ## remake the files of tests/golden with the Python reference libraries
	scripts/golden

install: build  ## install into PREFIX (default /usr/local)
	cmake --install build/$(PRESET) --prefix $(PREFIX)

clean:  ## remove everything that was built (not the model in demo/)
	rm -rf build
