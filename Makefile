# Sendoff. `make demo` and `make test` are all a newcomer needs; `make help` lists the rest.
#
# MODE names the flavour and its folder under build/: debug (default), release, asan, tsan, fuzz, coverage.
# Sources are found, not listed: a room is a folder, its archive is build/MODE/libROOM.a, and a unit test
# tests/unit/ROOM_x.c is linked with the rooms that ROOM may use (the table `needs_`), so that a forbidden
# dependency does not even link.

MODE ?= debug
BUILD ?= build/$(MODE)
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
DESTDIR ?=
VERSION := $(shell sed -n 's/^## \([0-9][^ ]*\).*/\1/p' CHANGELOG.md 2>/dev/null | head -n 1)
# V=1 shows the commands.
Q := $(if $(V),,@)
saying = $(if $(V),,@echo '  $(1)	$@')
PYTHON ?= $(firstword $(wildcard /usr/bin/python3) python3)

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:

# ---------------------------------------------------------------- flavours

WARN := -Wall -Wextra -Wconversion -Wshadow -Wswitch-enum -Wmissing-prototypes -Wvla -Wno-sign-conversion
HARDEN := -fPIE -fstack-protector-strong -D_FORTIFY_SOURCE=2
HARDEN_LD := -pie -Wl,-z,relro,-z,now

cflags_debug := -O1 -g -Werror
cflags_release := -O2 -g $(HARDEN)
ldflags_release := $(HARDEN_LD)
cflags_asan := -O1 -g -Werror -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
ldflags_asan := -fsanitize=address,undefined
cflags_tsan := -O1 -g -Werror -fsanitize=thread
ldflags_tsan := -fsanitize=thread
cflags_fuzz := -O1 -g -Werror -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
ldflags_fuzz := -fsanitize=address,undefined
cflags_coverage := -O0 -g --coverage
ldflags_coverage := --coverage
ifeq ($(MODE),fuzz)
CC := clang
else
CC := $(if $(filter default undefined,$(origin CC)),gcc,$(CC))
endif

CPPFLAGS_ALL := -D_GNU_SOURCE -DSENDOFF_VERSION='"$(VERSION)"' -DSENDOFF_SYSCONFDIR='"$(SYSCONFDIR)"' -Iagent -I. $(CPPFLAGS)
CFLAGS_ALL := -std=gnu11 $(WARN) $(cflags_$(MODE)) -pthread -MMD -MP $(CFLAGS)
LDFLAGS_ALL := $(ldflags_$(MODE)) -pthread -Wl,--as-needed $(LDFLAGS)

# ---------------------------------------------------------------- rooms

rooms := base queue smtp message net submission delivery control helper core tools
src_queue := $(wildcard queue/*.c)
src_core := $(wildcard agent/*.c)
src_helper := $(filter-out agent/helper/main.c,$(wildcard agent/helper/*.c))
src_tools := $(filter-out tools/sendoff.c tools/sendmail.c,$(wildcard tools/*.c))
$(foreach r,base smtp message net submission delivery control,$(eval src_$(r) := $(wildcard agent/$(r)/*.c)))

# A room and the rooms below it.
needs_base := base
needs_queue := queue
needs_smtp := smtp base
needs_message := message smtp base
needs_net := net base
needs_helper := helper net base
needs_core := core message smtp net queue base
needs_submission := submission helper $(needs_core)
needs_delivery := delivery helper $(needs_core)
needs_control := control helper $(needs_core)
needs_tools := tools control helper $(needs_core)
needs_agent := submission delivery control helper $(needs_core)

libs_base := -lgnutls
libs_queue := -llmdb
libs_smtp := -lgsasl -lidn2
libs_message := -ljansson
libs_net := -lcares -lev -lm
libs_core := -lconfuse -lseccomp
libs_submission :=
libs_delivery :=
libs_control := -ljansson
# libcurl is loaded by the process that sends a request, and by no other.
libs_helper := -lcrypt -ldl
libs_tools := -ljansson -lncurses -ltinfo

objects = $(patsubst %.c,$(BUILD)/%.o,$(1))
archive = $(BUILD)/lib$(1).a
archives = $(foreach r,$(needs_$(1)),$(call archive,$(r)))
libs = $(foreach r,$(needs_$(1)),$(libs_$(r)))
define link
$(call saying,LINK)
$(Q)$(CC) -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(LDFLAGS_ALL) $(1)
endef

PROGRAMS := $(addprefix $(BUILD)/,sendoffd sendoff sendmail sendoff-helper)

.PHONY: all help demo run test check check-asan check-tsan check-e2e check-crash fuzz bench bench-link soak lint format coverage \
	install uninstall clean deps tests fuzz-programs
all: $(PROGRAMS)

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(call saying,CC)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -c -o $@ $<

define archive_rule
$(BUILD)/lib$(1).a: $(call objects,$(src_$(1)))
	@mkdir -p $$(@D)
	@rm -f $$@
	$$(Q)ar rcs $$@ $$^
endef
$(foreach r,$(rooms),$(eval $(call archive_rule,$(r))))

$(BUILD)/sendoffd: $(call objects,$(wildcard agent/main/*.c)) $(call archives,agent)
	$(call link,$(call libs,agent))
$(BUILD)/sendoff: $(BUILD)/tools/sendoff.o $(call archives,tools)
	$(call link,$(call libs,tools))
# Programs start it for every mail: no library but libc.
$(BUILD)/sendmail: $(call objects,$(wildcard tools/sendmail*.c)) $(foreach r,message smtp base,$(call archive,$(r)))
	$(call link,)
$(BUILD)/sendoff-helper: $(BUILD)/agent/helper/main.o $(call archives,helper)
	$(call link,$(call libs,helper))

# ---------------------------------------------------------------- unit tests and replayed corpora

unit_src := $(wildcard tests/unit/*.c)
unit_bin := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(unit_src))
fuzz_src := $(wildcard tests/fuzz/fuzz_*.c)
fuzz_bin := $(patsubst tests/fuzz/%.c,$(BUILD)/tests/fuzz/%,$(fuzz_src))
room_of = $(firstword $(subst _, ,$(patsubst fuzz_%,%,$(notdir $(1)))))

# Unit tests may share helpers in tests/unit/support/*.c.
support := $(call objects,$(wildcard tests/unit/support/*.c))

define unit_rule
$(BUILD)/tests/unit/$(1): $(BUILD)/tests/unit/$(1).o $(support) $(call archives,$(call room_of,$(1)))
	$$(call link,$(call libs,$(call room_of,$(1))) -lcmocka)
endef
$(foreach t,$(notdir $(unit_bin)),$(eval $(call unit_rule,$(t))))

# MODE=fuzz links libFuzzer's main; every other flavour replays the files it is given.
fuzz_main := $(if $(filter fuzz,$(MODE)),,$(BUILD)/tests/fuzz/replay.o)
define fuzz_rule
$(BUILD)/tests/fuzz/$(1): $(BUILD)/tests/fuzz/$(1).o $(fuzz_main) $(call archives,$(call room_of,$(1)))
	$$(call link,$(call libs,$(call room_of,$(1))) $(if $(filter fuzz,$(MODE)),-fsanitize=fuzzer))
endef
$(foreach t,$(notdir $(fuzz_bin)),$(eval $(call fuzz_rule,$(t))))

fuzz-programs: $(fuzz_bin)
tests: $(unit_bin) $(fuzz_bin) $(BUILD)/tests/sim/sim

# Unit tests, scripts, queue crash test and corpora in this MODE. ROOM=queue runs one room's only.
ROOM ?=
check: $(if $(ROOM),$(filter $(BUILD)/tests/unit/$(ROOM)_%,$(unit_bin)) $(filter $(BUILD)/tests/fuzz/fuzz_$(ROOM)_%,$(fuzz_bin)) \
	$(if $(filter delivery queue sim,$(ROOM)),$(BUILD)/tests/sim/sim),tests)
	tests/run-unit $(BUILD) $(ROOM)

# ---------------------------------------------------------------- simulation

# The writer is the simulation's own: it stands before the one in the archive.
$(BUILD)/tests/sim/sim: $(call objects,$(wildcard tests/sim/*.c)) $(call archives,delivery)
	$(call link,$(call libs,delivery))

# SEEDS=1-1000: a range. SEED=n: one again, with every event.
SEEDS ?= 1-1000
SIM_JOBS ?= $(shell nproc)
.PHONY: sim sim-planted
sim: $(BUILD)/tests/sim/sim
	$< $(if $(SEED),-v $(SEED),-j $(SIM_JOBS) $(SEEDS))
# Each bug of tests/sim/planted must be found.
sim-planted:
	tests/sim/plant

check-asan:
	$(MAKE) MODE=asan check
check-tsan:
	$(MAKE) MODE=tsan check
check-e2e: all
	BUILD=$(abspath $(BUILD)) $(PYTHON) -m pytest -q -p no:cacheprovider tests/e2e $(PYTEST)

# ---------------------------------------------------------------- for people

deps:
	@tests/install-deps build
demo:
	@tests/install-deps demo
	$(MAKE) MODE=release all
	tests/demo build/release
run: all
	$(BUILD)/sendoffd
test:
	@tests/install-deps test
	$(MAKE) all tests
	$(MAKE) check
	$(MAKE) check-e2e

FUZZ_SECONDS ?= 60
fuzz:
	@tests/install-deps test
	$(MAKE) MODE=fuzz fuzz-programs
	tests/run-fuzz build/fuzz $(FUZZ_SECONDS) $(TARGET)

bench:
	@tests/install-deps test
	@tests/bench/fetch-peers build/peers
	$(MAKE) -j$(shell nproc) MODE=release all bench-programs
	$(PYTHON) tests/bench/run.py --build build/release $(if $(QUICK),--quick) $(BENCH)

# Round trips a message costs over a slow link (as root).
bench-link:
	@tests/install-deps test
	$(MAKE) MODE=release all
	$(PYTHON) tests/bench/link.py --build build/release --postfix

# Instructions a message costs, beside the recorded figures (tests/bench/instructions.txt).
instructions:
	$(MAKE) MODE=release all bench-programs
	tests/bench/instructions --build build/release

bench_src := $(wildcard tests/bench/*.c)
bench_bin := $(patsubst tests/bench/%.c,$(BUILD)/tests/bench/%,$(bench_src))
bench_support := $(call objects,$(wildcard tests/bench/support/*.c))
.PHONY: bench-programs
bench-programs: $(bench_bin)
$(BUILD)/tests/bench/%: $(BUILD)/tests/bench/%.o $(bench_support) $(call archives,agent)
	$(call link,$(call libs,agent))

# An agent under load with kills, outages, reloads and clock jumps: MINUTES=5, or HOURS=1; RATE=N: not 70 % of the highest.
soak:
	@tests/install-deps test
	$(MAKE) MODE=release all bench-programs build/release/tests/bench/wallclock.so
	$(PYTHON) tests/bench/soak.py --build build/release $(if $(HOURS),--hours $(HOURS)) $(if $(MINUTES),--minutes $(MINUTES)) \
		$(if $(RATE),--rate $(RATE))
$(BUILD)/tests/bench/wallclock.so: tests/bench/preload/wallclock.c
	@mkdir -p $(@D)
	$(call saying,CC)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(filter-out -MMD -MP,$(CFLAGS_ALL)) -shared -fPIC -o $@ $< -ldl

lint:
	$(PYTHON) tests/lint/layers.py
	tests/lint/format
	tests/lint/manuals
	tests/lint/mutate --fit
	tests/sim/plant --fit
	$(MAKE) all
	$(PYTHON) tests/lint/symbols.py $(BUILD)
format:
	clang-format -i $$(git ls-files '*.c' '*.h')
coverage:
	$(MAKE) MODE=coverage check
	gcovr -r . --object-directory build/coverage --exclude 'tests/.*'

install: all
	tests/install-files $(BUILD) '$(DESTDIR)' '$(PREFIX)' '$(SYSCONFDIR)'
uninstall:
	tests/install-files --remove '$(DESTDIR)' '$(PREFIX)' '$(SYSCONFDIR)'
clean:
	rm -rf build

help:
	@echo 'demo      install what is missing, build, send real mail through it in a scratch folder'
	@echo 'test      install what is missing, run every test that this machine allows'
	@echo 'all       build build/$(MODE)/{sendoffd,sendoff,sendmail,sendoff-helper}'
	@echo 'run       the agent in the foreground with its built-in defaults'
	@echo 'check     unit tests, session scripts, corpora (ROOM=queue: one room); check-asan, check-tsan'
	@echo 'check-e2e end-to-end tests with real programs (PYTEST=-k name)'
	@echo 'sim       the simulation (SEEDS=1-10000: which; SEED=7: one of them, with every event); sim-planted: it finds its bugs'
	@echo 'fuzz      every fuzz target for FUZZ_SECONDS (TARGET=name: one)'
	@echo 'bench     the benchmark beside other mailers (QUICK=1: under three minutes; BENCH="--only relay --peers sendoff,dma")'
	@echo 'soak      an agent under load, killed, reloaded, cut off: nothing lost, nothing growing (MINUTES=5, HOURS=1)'
	@echo 'instructions  what engines, queue and agent cost in instructions, beside the recorded figures'
	@echo 'lint format coverage install uninstall clean'

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
