// The body of a worker program: from what the supervisor hands over to the exit code.
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <exception>
#include <optional>
#include <string_view>

#include "cyto/worker.hpp"
#include "fault_guard.hpp"
#include "handover.hpp"
#include "rehearsal.hpp"

namespace cyto {
namespace {

// Whether this process has left its reason in the slot before it could hold it.
bool has_failed(const control& left) {
  return left.state.observe() == static_cast<std::uint32_t>(slot_state::failed) &&
         left.pid.observe() == static_cast<std::uint32_t>(getpid());
}

void say(int to, std::string_view text) {
  while (!text.empty()) {
    const ssize_t put = write(to, text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return;  // Nobody listens any more.
    text.remove_prefix(static_cast<std::size_t>(put));
  }
}

// The setup and no more, in a copy of the slot.
int rehearse(const handover& given, const std::function<void(worker&)>& setup) {
  // Whoever started this waits for it: without that it has no purpose.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  say(given.nudge, program_line() + "\n");  // At once: another layout cannot be attached.
  try {
    const segment where = segment::attach(given.segment);
    if (given.slot >= where.slot_count()) return exit_refused;
    slot place(where, given.slot);
    worker self(place, true);
    setup(self);
    self.check_setup();
    say(given.nudge, self.description() + std::string(report_end));
    return exit_done;
  } catch (const error& failure) {
    say(given.nudge, std::string(report_refused) + failure.what());
    return exit_refused;
  } catch (const std::exception& failure) {
    say(given.nudge, std::string(report_threw) + failure.what());
    return exit_crashed;
  }
}

}  // namespace

int worker_main(int argc, char** argv, const std::function<void(worker&)>& setup) {
  const handover given = take_handover();
  if (given.segment < 0) {
    dprintf(STDERR_FILENO,
            "cyto: %s: is a worker; it was not started by a supervisor; name it in a "
            "topology and use `cyto run`\n",
            argc > 0 ? argv[0] : "worker");
    return static_cast<int>(error_code::bad_input);
  }
  if (given.is_rehearsal) return rehearse(given, setup);
  std::optional<segment> where;
  std::optional<slot> place;
  try {
    where = segment::attach(given.segment);
    if (given.slot >= where->slot_count()) return exit_refused;
    place.emplace(*where, given.slot);
  } catch (const error& failure) {
    if (failure.code() == error_code::already_running) return exit_slot_taken;
    const bool spoiled = where && has_failed(where->control_of(given.slot));
    if (!spoiled) dprintf(STDERR_FILENO, "cyto: worker: %s\n", failure.what());
    return spoiled ? exit_spoiled : exit_refused;
  }
  try {
    const fault_guard guard(place->own());
    worker self(*place);
    setup(self);
    self.run(given.nudge);
    return exit_done;
  } catch (const error& failure) {
    place->leave_failure(failure.code(), failure.what());
    return exit_refused;
  } catch (const std::exception& failure) {
    place->leave_words(failure.what());
    dprintf(STDERR_FILENO, "cyto: worker %s: %s\n", place->entry().name, failure.what());
    return exit_crashed;
  }
}

}  // namespace cyto
