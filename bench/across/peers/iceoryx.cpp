// iceoryx: messages written and read in place, in the memory of its daemon RouDi, which runs as a
// child of the benchmark for as long as a case does.
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <stdexcept>
#include <string>

#include "across/peers/peers.hpp"

#include "iceoryx_hoofs/log/logmanager.hpp"
#include "iceoryx_posh/iceoryx_posh_config.hpp"
#include "iceoryx_posh/internal/roudi/roudi.hpp"
#include "iceoryx_posh/popo/untyped_publisher.hpp"
#include "iceoryx_posh/popo/untyped_subscriber.hpp"
#include "iceoryx_posh/popo/wait_set.hpp"
#include "iceoryx_posh/roudi/iceoryx_roudi_components.hpp"
#include "iceoryx_posh/runtime/posh_runtime.hpp"

namespace cyto::bench {
namespace {

// What it has to say goes nowhere: standard output is the benchmark's.
void be_silent() {
  const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (nowhere >= 0) dup2(nowhere, STDOUT_FILENO);
  if (nowhere >= 0) dup2(nowhere, STDERR_FILENO);
  iox::log::LogManager::GetLogManager().SetDefaultLogLevel(iox::log::LogLevel::kOff,
                                                           iox::log::LogLevelOutput::kHideLogLevel);
}

// The daemon, in a process of its own that ends when nobody holds the other end of its pipe any
// more: after a case, or when the benchmark and its players have died, of whatever. It is not ended
// in its own good order, in which a lock that a killed player held makes it abort and leave all
// behind. While it lives no other daemon can, so that all files of that name are its own.
class daemon_process {
 public:
  daemon_process(const std::string& near_name, const std::string& far_name) {
    int ready[2];
    int alive[2];
    if (pipe2(ready, O_CLOEXEC) != 0 || pipe2(alive, O_CLOEXEC) != 0) {
      throw std::runtime_error("iceoryx: no pipe to its daemon");
    }
    pid_ = fork();
    if (pid_ == 0) {
      close(ready[0]);
      close(alive[1]);
      serve(ready[1], alive[0], {near_name, far_name});
    }
    close(ready[1]);
    close(alive[0]);
    alive_ = alive[1];
    char byte = 0;
    const bool is_ready = pid_ > 0 && read(ready[0], &byte, 1) == 1;
    close(ready[0]);
    if (is_ready) return;
    stop();
    throw std::runtime_error("iceoryx: its daemon does not start; is another one running?");
  }
  daemon_process(const daemon_process&) = delete;
  daemon_process& operator=(const daemon_process&) = delete;
  ~daemon_process() { stop(); }

 private:
  void stop() {
    close(alive_);
    if (pid_ > 0) waitpid(pid_, nullptr, 0);
  }

  [[noreturn]] static void serve(int ready, int alive, const std::array<std::string, 2>& clients) {
    // Who ends the benchmark from a terminal ends only the benchmark, and thereby this.
    setpgid(0, 0);
    // Who died before the daemon was ready must not take it along: it has files by then.
    std::signal(SIGPIPE, SIG_IGN);
    be_silent();
    iox::RouDiConfig_t config = pools();
    iox::roudi::IceOryxRouDiComponents parts(config);
    const iox::roudi::RouDi::RoudiStartupParameters how(iox::roudi::MonitoringMode::OFF, false);
    iox::roudi::RouDi daemon(parts.rouDiMemoryManager, parts.portManager, how);
    char byte = 0;
    if (write(ready, &byte, 1) == 1) {
      while (read(alive, &byte, 1) < 0 && errno == EINTR) continue;
    }
    shm_unlink((std::string("/") + iox::roudi::SHM_NAME).c_str());
    shm_unlink(("/" + own_group()).c_str());
    for (const std::string& each : clients) forget(each);
    forget(iox::roudi::IPC_CHANNEL_ROUDI_NAME);
    forget(iox::roudi::ROUDI_LOCK_NAME);
    _exit(0);
  }
  // The socket of a name, and its lock.
  static void forget(const std::string& name) {
    unlink((iox::platform::IOX_UDS_SOCKET_PATH_PREFIX + name).c_str());
    unlink((iox::platform::IOX_LOCK_FILE_PATH_PREFIX + name + ".lock").c_str());
  }
  // Gives its name to the memory that messages lie in.
  static std::string own_group() {
    return iox::posix::PosixGroup::getGroupOfCurrentProcess().getName().c_str();
  }

  static iox::RouDiConfig_t pools() {
    iox::mepoo::MePooConfig pool;
    for (const std::size_t bytes : peer_sizes) {
      pool.addMemPool({static_cast<std::uint32_t>(bytes), 32});
    }
    const iox::posix::PosixGroup::string_t group(iox::cxx::TruncateToCapacity, own_group().c_str());
    iox::RouDiConfig_t out;
    out.m_sharedMemorySegments.push_back({group, group, pool});
    return out;
  }

  pid_t pid_ = -1;
  int alive_ = -1;
};

class iceoryx_link {
 public:
  iceoryx_link(std::size_t bytes, waiting how)
      : bytes_(bytes),
        how_(how),
        near_name_(unused_name("iceoryx")),
        far_name_(unused_name("iceoryx")),
        daemon_(near_name_, far_name_) {}

  class end {
   public:
    end(const iceoryx_link& of, bool is_near)
        : bytes_(static_cast<std::uint32_t>(of.bytes_)),
          how_(of.how_),
          registered_(is_near ? of.near_name_ : of.far_name_),
          out_(is_near ? there() : back(), writer_options()),
          in_(is_near ? back() : there(), reader_options()) {
      if (how_ == waiting::park) {
        waits_.attachState(in_, iox::popo::SubscriberState::HAS_DATA).or_else([](auto) {
          throw std::runtime_error("iceoryx: no wait set");
        });
      }
      // Yields, because it is the daemon that brings them together.
      while (!out_.hasSubscribers() ||
             in_.getSubscriptionState() != iox::SubscribeState::SUBSCRIBED) {
        sched_yield();
      }
    }
    end(const end&) = delete;
    end& operator=(const end&) = delete;
    void send(std::uint64_t number) {
      auto loan = out_.loan(bytes_);
      if (loan.has_error()) throw std::runtime_error("iceoryx: no memory for a message");
      write_payload(static_cast<std::byte*>(loan.value()), bytes_, number);
      out_.publish(loan.value());
    }
    std::uint64_t receive() {
      while (true) {
        auto found = in_.take();
        if (!found.has_error()) {
          const auto* payload = static_cast<const std::byte*>(found.value());
          const std::uint64_t number = read_payload(payload, bytes_);
          in_.release(payload);
          return number;
        }
        if (how_ == waiting::park) {
          waits_.wait();
        } else {
          relax();
        }
      }
    }

   private:
    // With the daemon, under a name; before anything else is made.
    struct registration {
      explicit registration(const std::string& name) {
        be_silent();
        iox::runtime::PoshRuntime::initRuntime({iox::cxx::TruncateToCapacity, name.c_str()});
      }
    };
    static iox::capro::ServiceDescription there() { return {"cyto", "bench", "there"}; }
    static iox::capro::ServiceDescription back() { return {"cyto", "bench", "back"}; }
    // Nothing is dropped when the reader is slow.
    static iox::popo::PublisherOptions writer_options() {
      iox::popo::PublisherOptions out;
      out.subscriberTooSlowPolicy = iox::popo::ConsumerTooSlowPolicy::WAIT_FOR_CONSUMER;
      return out;
    }
    static iox::popo::SubscriberOptions reader_options() {
      iox::popo::SubscriberOptions out;
      out.queueCapacity = 16;
      out.queueFullPolicy = iox::popo::QueueFullPolicy::BLOCK_PRODUCER;
      return out;
    }
    std::uint32_t bytes_;
    waiting how_;
    registration registered_;
    iox::popo::UntypedPublisher out_;
    iox::popo::UntypedSubscriber in_;
    iox::popo::WaitSet<> waits_;
  };
  end near() { return {*this, true}; }
  end far() { return {*this, false}; }

 private:
  std::size_t bytes_;
  waiting how_;
  std::string near_name_;
  std::string far_name_;
  daemon_process daemon_;
};

}  // namespace

void add_iceoryx(std::vector<test_case>& to) { add_peer<iceoryx_link>(to, "iceoryx", peer_sizes); }

}  // namespace cyto::bench
