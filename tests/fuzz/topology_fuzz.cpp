// A topology file of a user's: refused in words, or a plan whose memory can be counted.
#include "topology_file.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <stdexcept>

#include "fuzz/input.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cyto;
  static const int fd = memfd_create("topology", MFD_CLOEXEC);
  setenv("PATH", "/bin", 1);
  if (fd < 0 || ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != static_cast<ssize_t>(size)) {
    std::abort();
  }
  tools::topology_request request;
  request.path = "/proc/self/fd/" + std::to_string(fd);
  request.programs = "/bin";
  if (size % 2 == 0) {
    request.input = "/the/input";
    request.input_name = "input";
  }
  if (size % 3 == 0) request.set["count"] = "3";
  try {
    const topology read = tools::read_topology(request);
    const segment_plan plan = plan_of(read);
    fuzz::require(!plan.slots.empty() && plan.slots.size() <= slot_count_max, "bounded workers");
    fuzz::keep(bytes_needed(plan));
    for (const slot_plan& slot : plan.slots) {
      // What worker::setting() reads must be what the file says: one line for each.
      for (std::size_t at = 0; at < slot.settings.size();) {
        const std::size_t end = slot.settings.find('\n', at);
        fuzz::require(slot.settings.find('=', at) < end, "each setting is a line of its own");
        at = end + 1;
      }
    }
    for (const worker_spec& worker : read.workers) {
      for (const auto& [key, value] : worker.settings) {
        fuzz::require((key + value).find('\n') == std::string::npos, "a setting has one line");
        fuzz::require(key.find('=') == std::string::npos, "a key ends at its equals sign");
      }
      for (const std::string& argument : worker.arguments) {
        fuzz::require(argument.find('\0') == std::string::npos, "an argument arrives whole");
      }
    }
  } catch (const error& refusal) {
    fuzz::require(refusal.what()[0] != '\0', "a refusal has words");
  }
  try {
    fuzz::keep(tools::parse_bytes(std::string(reinterpret_cast<const char*>(data), size)));
  } catch (const std::invalid_argument&) {
    return 0;
  }
  return 0;
}
