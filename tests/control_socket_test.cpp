// The control socket against those who mean no good: it refuses other users, packets that are none,
// and lets nobody who only stands there keep others out.
#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "cyto/cyto.hpp"
#include "rendezvous.hpp"
#include "support/actor.hpp"
#include "support/files.hpp"
#include "support/residue.hpp"
#include "support/watchdog.hpp"
#include "verbs.hpp"

namespace cyto::test {
namespace {

using std::chrono::seconds;

class ControlSocket : public testing::Test {
 protected:
  ControlSocket() : guard_(seconds(100), "ControlSocket") {
    ::setenv("XDG_RUNTIME_DIR", runtime_.path().c_str(), 1);
    name_ = "control-" + std::to_string(::getpid());
    supervisor_.emplace([this](const line& to_test) {
      worker_spec idle;
      idle.name = "idle";
      idle.program = "/usr/bin/tail";
      idle.arguments = {"-f", "/dev/null", "--pid=" + std::to_string(::getpid())};
      idle.cells_bytes = page_bytes;
      topology of;
      of.name = name_;
      of.workers = {idle};
      of.shutdown_ms = 0;
      supervisor system(of, {});
      to_test.say(1);
      while (!system.is_draining()) {
        pollfd event{system.poll_fd(), POLLIN, 0};
        ::poll(&event, 1, -1);
        system.step();
      }
    });
    EXPECT_EQ(supervisor_->hear(), 1U);
  }
  ~ControlSocket() override {
    const file last = connect_to(name_);
    EXPECT_TRUE(last && send_packet(last.get(), {verb_stop, 0}, {}));
    EXPECT_EQ(supervisor_->end(), 0);
    EXPECT_EQ(runtime_.leftovers(), std::vector<std::string>{});
    EXPECT_TRUE(holders_of(name_).empty());
    ::unsetenv("XDG_RUNTIME_DIR");
  }

  // Over the socket, not by way of /proc.
  void expect_answer() const {
    const file honest = connect_to(name_);
    ASSERT_TRUE(honest);
    ASSERT_TRUE(send_packet(honest.get(), {verb_attach, 0}, {}));
    packet reply{};
    std::vector<file> fds;
    ASSERT_TRUE(receive_packet(honest.get(), reply, fds, 10'000));
    EXPECT_EQ(reply.verb, verb_attach);
    ASSERT_EQ(fds.size(), 1U);
    EXPECT_EQ(::fcntl(fds[0].get(), F_GETFL) & O_ACCMODE, O_RDONLY);
    EXPECT_EQ(segment::attach(fds[0].release()).name(), name_);
  }
  // Whether the packet is answered by a refusal and the end of the connection.
  void expect_refusal(const std::vector<char>& bytes) const {
    const file client = connect_to(name_);
    ASSERT_TRUE(client);
    ASSERT_EQ(::send(client.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
    packet reply{99, 99};
    std::vector<file> fds;
    ASSERT_TRUE(receive_packet(client.get(), reply, fds, 10'000)) << bytes.size();
    EXPECT_EQ(reply.verb, verb_refused);
    EXPECT_TRUE(fds.empty());
    EXPECT_FALSE(receive_packet(client.get(), reply, fds, 10'000));
  }

  watchdog guard_;
  runtime_dir runtime_;
  std::string name_;
  std::optional<actor> supervisor_;
};

TEST_F(ControlSocket, RefusesPacketsThatAreNone) {
  for (const std::size_t size : {1U, 4U, 7U, 9U, 64U, 4096U, 60'000U}) {
    expect_refusal(std::vector<char>(size, 1));
  }
  for (const std::uint32_t verb : {0U, 3U, 9U, 0x7fffffffU, 0xffffffffU}) {
    std::vector<char> bytes(sizeof(packet));
    std::memcpy(bytes.data(), &verb, sizeof verb);
    expect_refusal(bytes);
  }
  expect_answer();
}

TEST_F(ControlSocket, ClosesDescriptorsThatItDidNotAskFor) {
  const auto count = [this] {
    const auto path = "/proc/" + std::to_string(supervisor_->pid()) + "/fd";
    return std::distance(std::filesystem::directory_iterator(path), {});
  };
  expect_answer();
  const auto before = count();
  for (int i = 0; i < 50; ++i) {
    const file client = connect_to(name_);
    ASSERT_TRUE(send_packet(client.get(), {77, 0}, {0, 1, 2, 2}));
    packet reply{};
    std::vector<file> fds;
    EXPECT_TRUE(receive_packet(client.get(), reply, fds, 10'000));
  }
  expect_answer();
  EXPECT_LE(count(), before + 5);  // The ends of the last clients may not be seen yet.
}

TEST_F(ControlSocket, ClientsThatNeverWriteKeepNobodyOut) {
  std::vector<file> silent;
  for (int i = 0; i < 300; ++i) {
    silent.push_back(connect_to(name_));
    if (i % 20 == 0) expect_answer();
  }
  expect_answer();
}

TEST_F(ControlSocket, ClientsThatNeverReadKeepNobodyOut) {
  std::vector<file> deaf;
  for (int i = 0; i < 300; ++i) {
    deaf.push_back(connect_to(name_));
    for (int n = 0; n < 20; ++n) send_packet(deaf.back().get(), {verb_attach, n}, {});
    if (i % 20 == 0) expect_answer();
  }
  expect_answer();
}

TEST_F(ControlSocket, NobodyWaitsAtTheDoorOfASupervisorThatIsStopped) {
  ::kill(supervisor_->pid(), SIGSTOP);
  std::vector<file> crowd;
  for (int i = 0; i < 200; ++i) crowd.push_back(connect_to(name_));
  EXPECT_FALSE(crowd.back());
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_EQ(find_system(name_).name(), name_);  // By way of the worker.
  EXPECT_FALSE(listen_at(name_)) << "somebody listens there";
  crowd.clear();
  ::kill(supervisor_->pid(), SIGCONT);
  for (int i = 0; i < 1000 && !connect_to(name_); ++i) ::poll(nullptr, 0, 10);
  expect_answer();
}

TEST_F(ControlSocket, RefusesOtherUsers) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become somebody else";
  struct stat folder {};
  ASSERT_EQ(::stat(runtime_folder().c_str(), &folder), 0);
  EXPECT_EQ(folder.st_mode & 0777U, 0700U);
  constexpr uid_t nobody = 65534;
  const auto as_nobody = [&](const std::function<int()>& act) {
    actor other([&](const line&) {
      const bool is_other = ::setgroups(0, nullptr) == 0 &&
                            ::setresgid(nobody, nobody, nobody) == 0 &&
                            ::setresuid(nobody, nobody, nobody) == 0;
      ::_exit(is_other ? act() : 9);
    });
    return other.end();
  };
  const std::string path = socket_path(name_);
  // `file` has no way around the folder's check of its owner, so by hand.
  const auto try_it = [&]() -> int {
    const file client(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    if (::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      return 1;
    }
    send_packet(client.get(), {verb_stop, 0}, {});
    packet reply{};
    std::vector<file> fds;
    return receive_packet(client.get(), reply, fds, 10'000) ? 2 : 3;
  };
  EXPECT_EQ(as_nobody(try_it), 1) << "the folder lets nobody in";
  // Even if somebody has opened all the doors.
  for (std::filesystem::path at = path; at != runtime_.path().parent_path();
       at = at.parent_path()) {
    ASSERT_EQ(::chmod(at.c_str(), 0777), 0);
  }
  EXPECT_EQ(as_nobody(try_it), 3) << "connected, and shut out without an answer";
  ASSERT_EQ(::chmod(runtime_folder().c_str(), 0700), 0);
  expect_answer();
}

}  // namespace
}  // namespace cyto::test
