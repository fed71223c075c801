// Packets and descriptors of a stranger's, to the reading of packets and to a supervisor that
// serves. It answers the next honest client, and no descriptor is left open.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>

#include "cyto/cyto.hpp"
#include "fuzz/input.hpp"
#include "process.hpp"
#include "rendezvous.hpp"
#include "verbs.hpp"

namespace cyto::fuzz {
namespace {

// A system of one program that ends with this process, in a runtime folder of its own.
struct served {
  struct runtime_folder {
    runtime_folder() {
      const char* temporary = std::getenv("TMPDIR");
      path = std::string(temporary != nullptr ? temporary : "/tmp") + "/cyto-fuzz-XXXXXX";
      require(mkdtemp(path.data()) != nullptr, "a folder can be made");
      setenv("XDG_RUNTIME_DIR", path.c_str(), 1);
    }
    ~runtime_folder() { std::filesystem::remove_all(path); }
    std::string path;
  };
  static topology one_program() {
    worker_spec idle;
    idle.name = "idle";
    idle.program = "/usr/bin/tail";
    idle.arguments = {"-f", "/dev/null", "--pid=" + std::to_string(getpid())};
    idle.cells_bytes = page_bytes;
    topology out;
    out.name = "fuzz";
    out.workers = {idle};
    return out;
  }

  runtime_folder folder;
  supervisor system{one_program(), {}};
};

struct descriptors {
  std::size_t of_processes = 0;  // A client may have the worker stopped, and started again.
  std::size_t others = 0;
};

descriptors open_descriptors() {
  descriptors out;
  std::error_code gone;  // That of the folder itself is, by the time it is asked for.
  for (const auto& each : std::filesystem::directory_iterator("/proc/self/fd")) {
    const std::string what = std::filesystem::read_symlink(each.path(), gone).string();
    ++(what.find("pidfd") == what.npos ? out.others : out.of_processes);
  }
  return out;
}

// Sends whatever the input says, as one packet.
void send_anything(int to, input& in) {
  std::array<char, 4096> bytes{};
  const std::size_t size =
      in.take<std::uint8_t>() % 4 == 0 ? in.take<std::uint16_t>() % bytes.size() : sizeof(packet);
  const std::string_view content = in.bytes(size);
  std::copy(content.begin(), content.end(), bytes.begin());
  iovec part{bytes.data(), size};
  const std::size_t count = in.take<std::uint8_t>() % 16;
  std::array<int, 16> fds{};
  fds.fill(STDERR_FILENO);
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof fds)> room{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (count > 0) {
    message.msg_control = room.data();
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(count * sizeof(int));
    std::memcpy(CMSG_DATA(rights), fds.data(), count * sizeof(int));
  }
  keep(static_cast<std::uint64_t>(sendmsg(to, &message, MSG_NOSIGNAL | MSG_DONTWAIT)));
}

void to_receive(input& in) {
  std::array<int, 2> ends{};
  require(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) == 0, "a socket pair");
  const file here(ends[0]);
  const file there(ends[1]);
  send_anything(there.get(), in);
  packet got{};
  std::vector<file> fds;
  const bool sound = receive_packet(here.get(), got, fds, 0);
  require(fds.size() <= 4, "few descriptors are taken");
  keep(sound ? got.verb : 0);
  if (!sound || fds.empty()) return;
  try {
    keep(segment::attach(fds[0].release()).slot_count());
  } catch (const error&) {
    return;
  }
}

void to_supervisor(served& at, input& in) {
  std::vector<file> clients;
  while (!in.empty() && clients.size() < 80) {
    const auto what = in.take<std::uint8_t>();
    if (what % 4 == 0 || clients.empty()) clients.push_back(connect_to("fuzz"));
    if (what % 4 == 1) send_anything(clients[what / 4U % clients.size()].get(), in);
    if (what % 4 == 2) clients.erase(clients.begin() + what / 4 % static_cast<int>(clients.size()));
    if (what % 4 == 3) at.system.step();
  }
  file honest = connect_to("fuzz");
  // Where too many stand at the door, the supervisor has had no turn yet to let them in.
  for (int i = 0; i < 200 && !honest; ++i) {
    at.system.step();
    honest = connect_to("fuzz");
  }
  require(bool(honest) && send_packet(honest.get(), {verb_attach, 0}, {}), "a client gets in");
  packet reply{};
  std::vector<file> fds;
  for (int i = 0; i < 200 && fds.empty(); ++i) {
    at.system.step();
    receive_packet(honest.get(), reply, fds, 0);
  }
  require(reply.verb == verb_attach && fds.size() == 1, "an honest client is answered");
  require((fcntl(fds[0].get(), F_GETFL) & O_ACCMODE) == O_RDONLY, "it may only read");
  require(at.system.failure().empty(), "the system goes on");
}

}  // namespace
}  // namespace cyto::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cyto::fuzz;
  static served at;
  const std::size_t before = open_descriptors().others;
  input in(data, size);
  if (in.take<std::uint8_t>() % 2 == 0) {
    to_receive(in);
  } else {
    to_supervisor(at, in);
  }
  for (int i = 0; i < 200 && open_descriptors().others > before; ++i) at.system.step();
  require(open_descriptors().others <= before, "no descriptor is left open");
  require(open_descriptors().of_processes <= 1, "one process is supervised");
  return 0;
}
