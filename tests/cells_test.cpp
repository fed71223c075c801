// The verb `cyto cells`, and what a port finds in a snapshot.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>

#include "command.hpp"
#include "cyto/cyto.hpp"
#include "support/files.hpp"
#include "support/inquiry.hpp"
#include "support/ported.hpp"
#include "support/watchdog.hpp"

namespace cyto::test {
namespace {

using namespace std::chrono_literals;
using tools::cells_options;
using tree::Node;

class Cells : public testing::Test {
 protected:
  Cells() : guard_(std::chrono::seconds(100), name_of_test()) {
    ::setenv("XDG_RUNTIME_DIR", runtime_.path().c_str(), 1);
  }
  ~Cells() override { ::unsetenv("XDG_RUNTIME_DIR"); }

  void end(ported_system& system) {
    system.drain();
    EXPECT_EQ(system.end(), 0);
    EXPECT_EQ(runtime_.leftovers(), std::vector<std::string>{});
  }
  static std::string say(const cells_options& options) {
    testing::internal::CaptureStdout();
    const int code = tools::cells(options);
    std::string out = testing::internal::GetCapturedStdout();
    EXPECT_EQ(code, 0);
    return out;
  }
  [[nodiscard]] nlohmann::json rows(cells_options options) const {
    options.name = name_;
    options.json = true;
    return nlohmann::json::parse(say(options));
  }

  runtime_dir runtime_;
  watchdog guard_;
  std::string name_ = "cells-" + std::to_string(::getpid());
};

TEST_F(Cells, ListsEveryKindOfEveryPort) {
  ported_system system(name_, {{"desk", 2}, {"clerk"}}, {{"desk", "clerk"}});
  {
    port desk = join(name_, "desk/1");
    port clerk = join(name_, "clerk");
    const auto sum = desk.cell<counter>("sum");
    const auto most = desk.cell<maximum>("most");
    const auto clock = desk.cell<vector_clock>("clock");
    const auto word = clerk.cell<last_writer>("wo\x1brd");
    const auto names = clerk.cell<growing_set>("names");
    static_cast<void>(clerk.cell<minimum>("least"));
    ASSERT_EQ(desk.turn([&](turn& in) {
      sum.add(in, 7);
      most.merge(in, 9);
      clock.tick(in);
    }),
              status::ok);
    ASSERT_EQ(clerk.turn([&](turn& in) {
      word.set(in, 5);
      names.add(in, "x");
      names.add(in, "y");
    }),
              status::ok);
    for (const bool is_snapshot : {false, true}) {
      const nlohmann::json found = rows({.is_snapshot = is_snapshot});
      EXPECT_EQ(found["snapshot"], is_snapshot);
      EXPECT_EQ(found.contains("stamp"), is_snapshot);
      EXPECT_EQ(found["left_out"], 0);
      ASSERT_EQ(found["cells"].size(), 6U);
      const auto at = [&](std::size_t i, const char* key) { return found["cells"][i][key]; };
      EXPECT_EQ(at(0, "worker"), "desk/1");
      EXPECT_EQ(at(0, "cell"), "clock");
      EXPECT_EQ(at(0, "kind"), "vector_clock");
      EXPECT_EQ(at(0, "value"), (nlohmann::json{{"desk/1", 1}}));
      EXPECT_EQ(at(1, "value"), 9);
      EXPECT_EQ(at(2, "kind"), "counter");
      EXPECT_EQ(at(2, "value"), 7);
      EXPECT_EQ(at(3, "cell"), "least");
      EXPECT_TRUE(at(3, "value").is_null());
      EXPECT_EQ(at(4, "value"), 2);
      EXPECT_EQ(at(5, "value"), 5);
      for (std::size_t i = 0; i < 6 && is_snapshot; ++i) EXPECT_LE(at(i, "stamp"), found["stamp"]);
    }
    EXPECT_EQ(rows({.worker = "clerk"})["cells"].size(), 3U);
    EXPECT_EQ(rows({.worker = "desk/0"})["cells"].size(), 0U);
    EXPECT_EQ(rows({.cell = "sum", .is_snapshot = true})["cells"].size(), 1U);
    const nlohmann::json some = rows({.limit = 2});
    EXPECT_EQ(some["cells"].size(), 2U);
    EXPECT_EQ(some["left_out"], 4);
    EXPECT_THROW(tools::cells({.name = name_, .worker = "nobody"}), error);
    const std::string text = say({.name = name_, .is_snapshot = true, .limit = 5});
    EXPECT_NE(text.find("as of stamp "), text.npos);
    EXPECT_NE(text.find("and 1 more"), text.npos);
    const std::string other = say({.name = name_, .worker = "clerk"});
    EXPECT_NE(other.find("wo\\u001brd"), other.npos) << other;
    EXPECT_EQ(other.find('\x1b'), other.npos);
  }
  end(system);
}

TEST_F(Cells, APortFindsWhatItsReaderHasDoneWithWhatItSent) {
  ported_system system(name_, {{"desk"}, {"clerk"}}, {{"desk", "clerk"}});
  constexpr std::uint64_t message_count = 200;
  {
    port desk = join(name_, "desk");
    const output clerks = desk.to("clerk");
    actor clerk_beside([&](const line& to_test) {
      port clerk = join(name_, "clerk");
      const auto total = clerk.cell<counter>("total");
      to_test.say(1);
      while (total.value() < message_count) {
        for (const received& each : clerk.wait(1s)) {
          static_cast<void>(
              clerk.turn([&](turn& in) { total.add(in, each.as<Node>() != nullptr); }));
        }
      }
      static_cast<void>(clerk.wait(0ms));
      static_cast<void>(to_test.hear());
    });
    ASSERT_EQ(clerk_beside.hear(), 1U);
    snapshot books(desk.where(), {*find_cell(desk.where(), "clerk/0", "total")});
    for (std::uint64_t i = 1; i <= message_count; ++i) {
      ASSERT_EQ(
          desk.send<Node>(clerks.member(0), [](auto& fbb) { return tree::CreateNode(fbb, 1); }),
          status::ok);
      ASSERT_EQ(desk.drain(100s), status::ok);
      ASSERT_TRUE(books.take());
      ASSERT_EQ(books.value(0)[0], i);
    }
    actor forked([&](const line&) {
      if (desk.drain(0ms) != status::closed) throw std::runtime_error("it is not the parent");
    });
    EXPECT_EQ(forked.end(), 0);
    clerk_beside.say(1);
    EXPECT_EQ(clerk_beside.end(), 0);
  }
  end(system);
}

}  // namespace
}  // namespace cyto::test
