# The front door. Thin: the work is done by CMake (CMakePresets.json) and ctest.
#   make demo    build, speak a sentence into hello.wav, say how to go on
#   make test    every test: release, sanitizers, fuzzers, end to end
#   make bench   the benchmarks of docs/benchmarks
.DEFAULT_GOAL := help
SHELL := /bin/bash
JOBS ?= $(shell nproc)
RELEASE := build/cpu-release
CTEST := ctest --output-on-failure --no-tests=error

.PHONY: help setup setup-test build demo test test-release test-asan test-tsan bench format lint install clean

help:
	@sed -n 's/^#   //p' Makefile

setup:
	@tools/setup.sh build

setup-test:
	@tools/setup.sh build test

# With the CUDA backends where the toolkit is found: LYRE_CUDA is AUTO (cmake/Cuda.cmake).
$(RELEASE)/build.ninja:
	cmake --preset cpu-release -DLYRE_BUILD_TESTS=OFF -DLYRE_BUILD_BENCH=OFF

build: setup
	@$(MAKE) --no-print-directory $(RELEASE)/build.ninja
	cmake --build $(RELEASE) -j $(JOBS) --target lyre

demo: build
	@tools/demo.sh $(RELEASE)/bin/lyre

test: test-release test-asan test-tsan
	@echo "All tests passed: release, ASan+UBSan with fuzzers, TSan."

test-release: setup-test
	cmake --preset cpu-release -DLYRE_BUILD_TESTS=ON -DLYRE_BUILD_BENCH=ON
	cmake --build $(RELEASE) -j $(JOBS)
	$(CTEST) --test-dir $(RELEASE) -j $(JOBS)

# Under the sanitizers: without the e2e and lint labels, which test the program and the tree, and without the greedy
# sequences of the demo voice, minutes of arithmetic that run in release; the tiny voice's run here too.
SANITIZED := -LE 'e2e|lint' -E 'GreedyTokens.*/demo'

test-asan: setup-test
	cmake --preset cpu-asan
	cmake --build build/cpu-asan -j $(JOBS)
	$(CTEST) --test-dir build/cpu-asan -j $(JOBS) $(SANITIZED)

# Golden and differential tests are arithmetic on one thread, or on a pool that the property tests run as well. The batch of
# eight with the demo voice takes long; that with the tiny voice has the same threads.
test-tsan: setup-test
	cmake --preset cpu-tsan
	cmake --build build/cpu-tsan -j $(JOBS)
	$(CTEST) --test-dir build/cpu-tsan -j $(JOBS) -LE 'e2e|lint|golden|differential|must-not-compile' \
	  -E 'DemoVoice'

bench: setup-test
	cmake --preset cpu-release -DLYRE_BUILD_BENCH=ON
	cmake --build $(RELEASE) -j $(JOBS)
	python3 tools/bench.py $(RELEASE) $(BENCH_FLAGS)

format:
	find src apps examples tests bench -name '*.h' -o -name '*.cc' -o -name '*.cu' -o -name '*.cuh' | xargs clang-format -i

lint:
	python3 tests/lint/lint.py

install: build
	cmake --build $(RELEASE) -j $(JOBS) --target lyre lyre_shared
	cmake --install $(RELEASE) $(if $(PREFIX),--prefix $(PREFIX))

clean:
	rm -rf build
