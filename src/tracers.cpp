// Those who trace: while one of them is connected, all workers note what they do into their larger
// rings. The board's word counts the times that this was switched; odd is on.
#include <sys/epoll.h>

#include <algorithm>

#include "supervisor_state.hpp"

namespace cyto {

void supervisor::state::trace(bool on) {
  word<std::uint32_t>& tracing = the_board().tracing;
  if ((tracing.own() % 2 != 0) != on) tracing.publish(tracing.own() + 1);  // E2
}

// The connection becomes a tracer's, and is kept until it ends. False: there are too many.
bool supervisor::state::begin_tracing(int fd) {
  if (tracers.size() >= clients_max) return false;
  // Of its end only: what it says from now on is nobody's concern.
  epoll_event event{};
  event.events = EPOLLRDHUP;
  event.data.u64 = event_tracer;
  if (epoll_ctl(events.get(), EPOLL_CTL_MOD, fd, &event) != 0) return false;
  trace(true);
  const auto period = static_cast<std::int32_t>(the_board().tracing.own());
  send_packet(fd, {verb_trace, period}, {});
  const auto found = std::find_if(clients.begin(), clients.end(),
                                  [fd](const file& each) { return each.get() == fd; });
  tracers.push_back(std::move(*found));
  clients.erase(found);
  return true;
}

void supervisor::state::look_at_tracers() {
  std::erase_if(tracers, [](const file& each) { return has_hung_up(each); });
  trace(!tracers.empty());
}

}  // namespace cyto
