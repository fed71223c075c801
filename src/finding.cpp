#include "finding.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <optional>

#include "process.hpp"
#include "remains.hpp"
#include "rendezvous.hpp"
#include "verbs.hpp"

namespace cyto {
namespace {

constexpr int answer_ms = 200;            // A supervisor that is not stopped takes far less.
constexpr int patient_answer_ms = 5'000;  // For what only the supervisor can give.

// Complete, and not of this program's version; what is just being made has no mark yet.
bool is_of_another_version(int fd) {
  std::uint64_t mark = 0;
  return pread(fd, &mark, sizeof mark, 0) == sizeof mark && mark >> 32 == layout_magic >> 32 &&
         mark != layout_magic;
}

// A worker, from its first instruction on, has the memory at a number of its own below these: an
// adopter must not take this process for one.
segment attach_away(file from) {
  const int fd = fcntl(from.get(), F_DUPFD_CLOEXEC, 16);
  if (fd < 0) throw_errno(errno, error_code::failed, "segment", "no descriptor is left");
  return segment::attach(fd);
}

}  // namespace

segment find_memory(const std::string& name, access how) {
  const std::uint32_t verb = how == access::writable ? verb_port : verb_attach;
  const file connection = connect_to(name);
  packet reply{};
  std::vector<file> fds;
  const bool asked = connection && send_packet(connection.get(), {verb, 0}, {});
  const auto answered = [&](int timeout_ms) {
    return asked && receive_packet(connection.get(), reply, fds, timeout_ms) &&
           reply.verb == verb && !fds.empty();
  };
  if (answered(answer_ms)) return attach_away(std::move(fds.front()));
  // No supervisor answers, or it is stopped: any worker's descriptor is the same memory.
  std::optional<error> refusal;
  for (const memfd_holder& holder : find_memfd_holders(memfd_tag(name))) {
    const int mode = how == access::writable ? O_RDWR : O_RDONLY;
    file held(::open(holder.path.c_str(), mode | O_CLOEXEC));
    if (!held) continue;
    const bool is_complete = is_of_another_version(held.get());
    try {
      segment found = attach_away(std::move(held));
      if (!has_ended(found)) return found;
    } catch (const error& failure) {
      if (is_complete) refusal = failure;  // Else it is just being made.
    }
  }
  if (refusal) throw error(*refusal);
  // Whoever may not look into processes can only ask.
  if (answered(patient_answer_ms)) return attach_away(std::move(fds.front()));
  throw error(error_code::no_such_system, "system " + name, "does not run", {},
              "start it with `cyto run`, or see `cyto ps`");
}

bool is_of_the_past(const std::string& path) noexcept {
  try {
    file held(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    return held && has_ended(segment::attach(held.release()));
  } catch (const std::exception&) {
    return false;  // Just being made, or of another version.
  }
}

}  // namespace cyto
