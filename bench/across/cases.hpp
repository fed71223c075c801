// What the files of cases offer to suite.cpp: each appends its own.
#pragma once

#include <filesystem>
#include <vector>

#include "across/suite.hpp"

namespace cyto::bench {

void add_floors(std::vector<test_case>& to);
void add_lanes(std::vector<test_case>& to);
void add_turns(std::vector<test_case>& to);
void add_mailboxes(std::vector<test_case>& to);
void add_wakes(std::vector<test_case>& to);
void add_updates(std::vector<test_case>& to);
void add_tasks(std::vector<test_case>& to);
void add_threads(std::vector<test_case>& to);
void add_peers(std::vector<test_case>& to);
// `input`: of the job; empty: the excerpt that the tests have.
void add_jobs(std::vector<test_case>& to, const std::filesystem::path& input);

// A case of rounds between two processes.
template <class Link, class... Arguments>
std::function<sample(const pace&)> rounds(Arguments... arguments) {
  return [=](const pace& how) {
    Link link(arguments...);
    return ping_pong(link, how);
  };
}
// A case of rounds between two threads of one process.
template <class Link, class... Arguments>
std::function<sample(const pace&)> thread_rounds(Arguments... arguments) {
  return [=](pace how) {
    how.direct = play_threads;
    Link link(arguments...);
    return ping_pong(link, how);
  };
}
// A case of both ends in one thread.
template <class Link, class... Arguments>
std::function<sample(const pace&)> in_one_thread(Arguments... arguments) {
  return [=](const pace& how) {
    Link link(arguments...);
    return alone(link, how);
  };
}
// A case of as many messages as go through.
template <class Link, class... Arguments>
std::function<sample(const pace&)> stream(Arguments... arguments) {
  return [=](const pace& how) {
    Link link(arguments...);
    return one_way(link, how);
  };
}
// A case of messages at a fixed rate.
template <class Link, class... Arguments>
std::function<sample(const pace&)> at_rate(double per_s, Arguments... arguments) {
  return [=](const pace& how) {
    Link link(arguments...);
    return open_loop(link, how, per_s);
  };
}

}  // namespace cyto::bench
