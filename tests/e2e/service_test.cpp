// `cyto run` as a service manager sees it, through the manager's real protocol; and as process 1.
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstring>

#include "e2e/job.hpp"

namespace cyto::test {
namespace {

// The manager's end of sd_notify(3).
class manager {
 public:
  explicit manager(const std::filesystem::path& path) : path_(path) {
    fd_ = file_descriptor(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    if (::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      throw std::system_error(errno, std::generic_category(), path);
    }
  }
  std::pair<std::string, std::string> env() const { return {"NOTIFY_SOCKET", path_.string()}; }

  // The next message; empty if none comes in time.
  std::string next() {
    pollfd ready{fd_.get(), POLLIN, 0};
    if (::poll(&ready, 1, static_cast<int>(default_deadline.count()) * 1000) != 1) return {};
    std::array<char, 1024> text{};
    alignas(cmsghdr) std::array<char, 256> room{};
    iovec part{text.data(), text.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = room.data();
    message.msg_controllen = room.size();
    const ssize_t got = ::recvmsg(fd_.get(), &message, MSG_CMSG_CLOEXEC);
    for (cmsghdr* each = CMSG_FIRSTHDR(&message); each != nullptr;
         each = CMSG_NXTHDR(&message, each)) {
      if (each->cmsg_type != SCM_RIGHTS) continue;
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(each), sizeof fd);
      stored = file_descriptor(fd);
    }
    return std::string(text.data(), static_cast<std::size_t>(std::max<ssize_t>(0, got)));
  }
  // False if it does not come.
  bool hears(const std::string& word) {
    for (std::string text = next(); !text.empty(); text = next()) {
      if (text.find(word) != text.npos) return true;
    }
    return false;
  }

  file_descriptor stored;

 private:
  std::filesystem::path path_;
  file_descriptor fd_;
};

class Service : public job_test {
 protected:
  // A job in its middle, as start_held() has it, under a manager of its own.
  held_job start_managed(std::optional<manager>& told, const arguments& more = {}) const {
    for (int copies = long_copies;; copies *= 2) {
      told.emplace(in_dir("notify-" + std::to_string(copies)));
      const auto input = long_input(copies);
      process system = start(job(input, tiny_lanes + more), {.env = {told->env()}});
      EXPECT_TRUE(told->hears("READY=1"));
      if (auto workers = hold(system)) return {std::move(system), std::move(*workers), input};
      system.wait();
    }
  }
  // What the manager starts again, with the memory that it keeps.
  arguments with_memory(const arguments& command) const {
    const std::string line =
        "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ LISTEN_FDNAMES=cyto-" + name() +
        " exec \"$@\"";
    return arguments{"sh", "-c", line, "sh", bin_dir / "cyto"} + command;
  }
  static void kill_all(process& supervisor, const worker_pids& workers) {
    supervisor.send_signal(SIGKILL);
    supervisor.wait();
    for (const auto& [worker, pid] : workers) process_ref(pid).send_signal(SIGKILL);
    for (const auto& [worker, pid] : workers) {
      EXPECT_TRUE(process_ref(pid).wait_for_end(default_deadline));
    }
  }
};

TEST_F(Service, IsToldOfReadinessLifeAndTheEnd) {
  manager told(in_dir("notify"));
  // It has no end of its own.
  write_file(in_dir("t.toml"),
             "[[worker]]\nname = \"a\"\nprogram = \"/bin/sleep\"\nplain = true\n"
             "arguments = [\"1000\"]\n");
  process system = start({"run", in_dir("t.toml"), "--name", name()},
                         {.env = {told.env(), {"WATCHDOG_USEC", "30000"}}});
  EXPECT_TRUE(told.hears("FDNAME=cyto-" + name()));
  EXPECT_TRUE(told.stored) << "no descriptor came with it";
  EXPECT_TRUE(told.hears("READY=1"));
  EXPECT_TRUE(told.hears("WATCHDOG=1"));
  system.send_signal(SIGTERM);
  EXPECT_TRUE(told.hears("STOPPING=1"));
  EXPECT_TRUE(told.hears("FDSTOREREMOVE=1"));
  system.wait();
}

// Supervisor and workers all die; what they had committed is in the memory that the manager keeps.
TEST_F(Service, AllMayDieAndTheJobGoesOnFromTheStore) {
  std::optional<manager> told;
  held_job held = start_managed(told, {"--json"});
  const auto& input = held.input;
  const arguments command = with_memory(job(input, tiny_lanes + arguments{"--json"}));
  std::optional<process> system(std::move(held.system));
  std::optional<worker_pids> workers = held.workers;
  for (int round = 0; workers && round < 3; ++round) {
    kill_all(*system, *workers);
    system.emplace(command, with_runtime({.stdin_fd = told->stored.get()}));
    workers = hold(*system);
  }
  if (workers) signal_all(parsers_in(*workers), SIGCONT);
  const outcome end = system->wait();
  EXPECT_EQ(end.exit_code, 0) << end.err;
  const json report = last_line(end.out);
  EXPECT_TRUE(report.at("adopted").get<bool>());
  expect_balance(report.at("audit"));
  expect_table_of(input);
}

TEST_F(Service, StoredMemoryOfAnotherTopologyIsRefused) {
  std::optional<manager> told;
  held_job held = start_managed(told);
  kill_all(held.system, held.workers);
  const outcome end =
      run(with_memory(job(held.input, tiny_lanes + arguments{"--set", "parsers=3"})),
          with_runtime({.stdin_fd = told->stored.get()}));
  EXPECT_EQ(end.exit_code, 2) << end.err;
  EXPECT_NE(end.err.find("another topology"), end.err.npos) << end.err;
  told->stored = file_descriptor();
}

TEST_F(Service, AsProcessOneItReapsAndHeedsSignals) {
  if (::geteuid() != 0) GTEST_SKIP() << "a pid namespace wants root";
  // A zombie keeps its place under /proc until somebody has reaped it.
  const std::string pids = in_dir("pids").string();
  const std::string sees = "until [ \"$(cat " + pids + " | wc -l)\" = 2 ]; do sleep 0.01; done; " +
                           "for pid in $(cat " + pids + "); do while [ -e /proc/$pid ]; do " +
                           "sleep 0.01; done; done; touch " + in_dir("seen").string() +
                           "; exec sleep 1000";
  const std::string orphan = "(setsid sh -c 'echo $$ >> " + pids + "; exec sleep 0.05' &); ";
  const std::string orphans = orphan + orphan + "exec sleep 1000";
  std::string topology;
  for (const auto& [worker, shell] : {std::pair{"orphans", orphans}, std::pair{"sees", sees}}) {
    topology += std::string("[[worker]]\nname = \"") + worker +
                "\"\nprogram = \"/bin/sh\"\nplain = true\narguments = [\"-c\", '''" + shell +
                "''']\n";
  }
  write_file(in_dir("t.toml"), topology);
  process system(arguments{"unshare", "--pid", "--fork", "--mount-proc", "--kill-child",
                           bin_dir / "cyto", "run", in_dir("t.toml"), "--name", name()},
                 with_runtime());
  while (!std::filesystem::exists(in_dir("seen"))) {
    ASSERT_FALSE(system.wait_for(5ms)) << system.err();
  }
  const std::string pid = std::to_string(system.pid());
  const std::string children = read_file("/proc/" + pid + "/task/" + pid + "/children");
  process_ref(std::stoi(children)).send_signal(SIGTERM);
  EXPECT_EQ(system.wait().exit_code, 143);
}

}  // namespace
}  // namespace cyto::test
