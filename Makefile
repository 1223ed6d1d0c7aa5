# A thin wrapper over the CMake presets. `make demo` and `make test` do all set-up themselves.
#
#   make demo      build, ask the model that ships about three samples, compare with the truth
#   make test      build with optimisation, run every test
#   make check     the same tests under AddressSanitizer and UndefinedBehaviorSanitizer
#   make fuzz      libFuzzer on every parser of foreign bytes (needs clang)
#   make install   PREFIX=/usr/local: program, library, headers, CMake package, pkg-config file
#   make format    clang-format on all sources          make lint    clang-tidy on all sources
#   make clean     remove build/

PREFIX ?= /usr/local
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
FUZZ_SECONDS ?= 60
SOURCES = $(shell git ls-files 'src/*.h' 'src/*.cpp' 'src/*.inl' 'include/*.h' 'apps/*.h' 'apps/*.cpp' \
            'tests/*.h' 'tests/*.cpp' 'examples/*.cpp')

.PHONY: all build setup demo test check fuzz install format lint clean
all: build

setup:
	@tools/setup.sh

build: setup
	@cmake --preset release --log-level=WARNING
	@cmake --build --preset release -j $(JOBS)

demo: build
	@python3 -B tools/demo/run_demo.py build/release/qwenvl

test: build
	@ctest --preset release -j $(JOBS)

check: setup
	@cmake --preset asan --log-level=WARNING
	@cmake --build --preset asan -j $(JOBS)
	@ctest --preset asan -j $(JOBS)

fuzz: setup
	@tests/fuzz/run.sh $(FUZZ_SECONDS)

install: build
	@cmake --install build/release --prefix "$(PREFIX)"

format:
	@clang-format -i $(SOURCES)

lint: build
	@clang-tidy -p build/release --quiet $(filter %.cpp,$(filter-out examples/%,$(SOURCES)))

clean:
	@rm -rf build
