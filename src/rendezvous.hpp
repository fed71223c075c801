// Where programs meet: one unix socket a name in the runtime folder. Descriptors are handed over
// with SCM_RIGHTS, the other side's user is taken from the kernel (SO_PEERCRED).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "process.hpp"

namespace cyto {

// $XDG_RUNTIME_DIR/cyto, or /run/cyto for root, else a 0700 folder under the temporary folder. It
// is there only while it holds something: claim_folder() makes it, who leaves last removes it.
// Throws when it belongs to somebody else.
std::string runtime_folder();

std::string socket_path(const std::string& name);

// The tag of the memfd that belongs to the socket: it tells apart systems of one name in two
// runtime folders.
std::string memfd_tag(const std::string& name);

struct packet {
  std::uint32_t verb = 0;
  std::int32_t value = 0;
};

// While it lives, no other process listens, joins or leaves under any name of the folder. The lock
// is the kernel's, on the folder itself, so it leaves no file and ends with its holder.
file claim_folder();

// Listens under that name. Not open when somebody alive listens there already; a socket whose owner
// is gone is replaced. `inheritable` holders are other processes that were handed the listener.
file listen_at(const std::string& name);

// Removes the socket file, and the folder with the last one. For whoever listens there.
void forget_socket(const std::string& name) noexcept;
// The same if nobody listens. REQUIRES: claim_folder() is held.
void forget_stale_socket(const std::string& name);

// Never waits. Not open when nobody listens (ECONNREFUSED, ENOENT), or when too many stand at the
// door already (EAGAIN).
file connect_to(const std::string& name);

// Wakes whoever listens at that path. Nothing is allocated, nobody waits; a crowded door has woken
// him already.
void knock(const std::string& path) noexcept;

// A connection of this user's (or root's), or not open: none waits, or it was another user's.
file accept_from(int listener) noexcept;

bool send_packet(int to, const packet& what, const std::vector<int>& fds) noexcept;
// False on time-out, end, or a malformed packet.
bool receive_packet(int from, packet& what, std::vector<file>& fds, int timeout_ms) noexcept;

// Whether the other side has closed, or will say no more.
bool has_hung_up(const file& connection) noexcept;

// The process that called listen() on the other side; 0 when unknown.
int peer_pid(int connection) noexcept;

}  // namespace cyto
