// The program of all workers of the experiments: what it is, its settings say.
#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <map>
#include <memory>

#include "role.hpp"

int main(int argc, char** argv) {
  using namespace cyto::experiment;
  return cyto::worker_main(argc, argv, [](cyto::worker& self) {
    if (self.is_rehearsal()) return;
    static const tally told = tally::of_worker();
    // Without the one who runs the experiment there is nobody to tell a feed to end.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (static_cast<std::uint64_t>(getppid()) != told.the_orders().runner_pid.observe()) {
      throw cyto::error(cyto::error_code::failed, "worker of an experiment",
                        "was not started by who runs it", {}, "use `cyto experiment`");
    }
    static const std::map<std::string, void (*)(cyto::worker&, const tally&)> roles = {
        {"feed", become_feed},
        {"link", become_link},
        {"taker", become_taker},
        {"gossip", become_gossip}};
    roles.at(self.setting("role"))(self, told);
  });
}
