// The topology file: what is refused, with file, line and key, and what is made of the rest.
#include "tools/topology_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <set>
#include <stdexcept>
#include <string>

#include "support/files.hpp"

namespace cyto::tools {
namespace {

using test::temp_dir;
using test::write_file;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class Topology : public testing::Test {
 protected:
  topology read(const std::string& text, const std::map<std::string, std::string>& set = {},
                const std::string& input = {}) {
    write_file(path(), text);
    topology_request request;
    request.path = path();
    request.set = set;
    request.input = input;
    request.programs = "/bin";
    return read_topology(request);
  }
  // The text of the refusal, or what it is not.
  std::string refusal(const std::string& text, const std::map<std::string, std::string>& set = {}) {
    try {
      read(text, set);
    } catch (const error& failure) {
      EXPECT_EQ(failure.code(), error_code::bad_input);
      return failure.what();
    } catch (const std::exception& other) {
      return std::string("not a cyto::error: ") + other.what();
    }
    return "not refused";
  }
  std::string path() const { return (folder_ / "t.toml").string(); }
  std::string at_line(int line) const { return path() + ":" + std::to_string(line) + ": "; }

  temp_dir folder_;
};

const char* const good = R"(name = "job"
[set]
parsers = 3
size = "64KiB"
[[worker]]
name = "source"
program = "true"
source = true
arguments = ["-n", "${parsers}"]
settings = { input = "${input}", empty = "" }
[[worker]]
name = "parser"
program = "/bin/true"
count = "${parsers}"
cells_bytes = "${size}"
[[lane]]
from = "source"
to = "parser"
lane_bytes = 8192
[restart]
intensity = 7
period_ms = 100
shutdown_ms = 0
[table]
of = "parser"
)";

// `good` with one line replaced, counted from 1.
std::string with_line(int line, const std::string& replacement) {
  std::string out;
  std::string rest = good;
  for (int i = 1; !rest.empty(); ++i) {
    const std::size_t end = rest.find('\n');
    out += (i == line ? replacement : rest.substr(0, end)) + "\n";
    rest.erase(0, end + 1);
  }
  return out;
}

TEST_F(Topology, GoodFileIsReadAsItStands) {
  const topology seen = read(good, {}, "/data/in");
  EXPECT_EQ(seen.name, "job");
  ASSERT_EQ(seen.workers.size(), 2U);
  EXPECT_TRUE(seen.workers[0].is_source);
  EXPECT_THAT(seen.workers[0].program, testing::EndsWith("/bin/true"));
  EXPECT_EQ(seen.workers[0].arguments, (std::vector<std::string>{"-n", "3"}));
  EXPECT_EQ(seen.workers[0].cells_bytes, 1U << 20);
  EXPECT_THAT(seen.workers[0].settings,
              testing::UnorderedElementsAre(testing::Pair("input", "/data/in"),
                                            testing::Pair("empty", "")));
  EXPECT_EQ(seen.workers[1].count, 3U);
  EXPECT_EQ(seen.workers[1].cells_bytes, 65536U);
  EXPECT_THAT(seen.workers[1].cells_origin, HasSubstr("size"));
  EXPECT_EQ(seen.lanes.at(0).lane_bytes, 8192U);
  EXPECT_EQ(seen.lanes.at(0).origin, "lane_bytes");
  EXPECT_EQ(seen.root.intensity, 7U);
  EXPECT_EQ(seen.root.period_ms, 100U);
  EXPECT_EQ(seen.shutdown_ms, 0U);
  EXPECT_EQ(seen.table_of, "parser");
}

TEST_F(Topology, SetReplacesAndRefusesUnknownKeys) {
  EXPECT_EQ(read(good, {{"parsers", "9"}}, "x").workers[1].count, 9U);
  const std::string text = refusal(good, {{"parser", "9"}});
  EXPECT_THAT(text, AllOf(HasSubstr("--set parser=9"), HasSubstr(path()), HasSubstr("parsers")));
  EXPECT_THAT(refusal(with_line(10, ""), {{"parsers", "many"}}),
              AllOf(HasSubstr(at_line(14)), HasSubstr("parsers is 'many'")));
  EXPECT_THAT(refusal(with_line(10, ""), {{"size", "1KiB"}}),
              AllOf(HasSubstr(path()), HasSubstr("size of worker parser is 1,024 bytes")));
}

// Each refusal names file, line, and the key that is wrong.
TEST_F(Topology, ErrorsNameFileLineAndKey) {
  struct one {
    int line;  // Of `good`, replaced by:
    const char* text;
    int blamed;  // The line that is blamed.
    const char* key;
  };
  for (const one& each :
       std::initializer_list<one>{{1, "name = ", 1, "TOML"},
                                  {1, "name = 7", 1, "name"},
                                  {1, "nam = \"job\"", 1, "nam"},
                                  {2, "[sets]", 2, "sets"},
                                  {3, "parsers = 1.5", 3, "parsers"},
                                  {3, "parsers = 0", 14, "parsers"},
                                  {3, "parsers = 257", 14, "parsers"},
                                  {3, "parsers = -1", 14, "parsers"},
                                  {4, "size = \"64 kilo\"", 15, "size"},
                                  {4, "size = \"4095\"", 11, "size"},
                                  {4, "size = \"17GiB\"", 11, "size"},
                                  {6, "nome = \"source\"", 6, "nome"},
                                  {6, "", 5, "name"},
                                  {7, "program = \"no-such-program\"", 5, "program"},
                                  {7, "program = \"./no-such-program\"", 5, "program"},
                                  {7, "program = true", 7, "program"},
                                  {8, "source = 1", 8, "source"},
                                  {9, "arguments = \"-n\"", 9, "arguments"},
                                  {9, "arguments = [1]", 9, "argument"},
                                  {9, "arguments = [\"${nobody}\"]", 9, "nobody"},
                                  {9, "arguments = [\"${open\"]", 9, "open"},
                                  {10, "settings = 1", 10, "settings"},
                                  {10, "settings = { a = 1 }", 10, "setting"},
                                  {10, "settings = { input = \"${input}\" }", 10, "--input"},
                                  {14, "count = true", 14, "count"},
                                  {14, "count = \"3x\"", 14, "count"},
                                  {15, "cells_bytes = false", 15, "cells_bytes"},
                                  {17, "form = \"source\"", 17, "form"},
                                  {19, "lane_bytes = 5000", 16, "lane_bytes"},
                                  {19, "lane_bytes = \"2GiB\"", 16, "lane_bytes"},
                                  {19, "lane_bytes = 2048", 16, "lane_bytes"},
                                  {21, "intensity = -1", 21, "intensity"},
                                  {22, "period_ms = 0", 22, "period_ms"},
                                  {23, "shutdown_ms = 3600001", 23, "shutdown_ms"},
                                  {24, "[tables]", 24, "tables"},
                                  {25, "off = \"parser\"", 25, "off"}}) {
    std::string text = with_line(each.line, each.text);
    if (each.line != 10) {
      // The input is not given; its use would be the error.
      const std::size_t input = text.find("${input}");
      text.replace(input, 8, "none");
    }
    EXPECT_THAT(refusal(text), AllOf(HasSubstr(at_line(each.blamed)), HasSubstr(each.key)))
        << each.text;
  }
}

std::string without_input(std::string text) {
  return text.replace(text.find("${input}"), 8, "none");
}

// Errors that only the whole topology shows.
TEST_F(Topology, ErrorsBetweenTheLinesNameTheFileAndTheNames) {
  EXPECT_THAT(refusal(without_input(with_line(18, "to = \"nobody\""))),
              AllOf(HasSubstr(path()), HasSubstr("nobody")));
  EXPECT_THAT(refusal(without_input(with_line(25, "of = \"nobody\""))),
              AllOf(HasSubstr(path()), HasSubstr("nobody")));
  EXPECT_THAT(refusal(without_input(with_line(12, "name = \"source\""))),
              AllOf(HasSubstr(path()), HasSubstr("source")));
  EXPECT_THAT(refusal("name = \"x\"\n"), AllOf(HasSubstr(path()), HasSubstr("no worker")));
}

TEST_F(Topology, TablesThatAreNoneAreRefused) {
  const std::string worker = "[[worker]]\nname = \"w\"\nprogram = \"true\"\n";
  for (const char* line : {"restart = 5", "set = 5", "table = \"w\"", "lane = 5", "worker = 5"}) {
    const std::string text = std::string("name = \"x\"\n") + line + "\n" +
                             (std::string(line).starts_with("worker") ? "" : worker);
    EXPECT_THAT(refusal(text), HasSubstr(at_line(2))) << line;
  }
}

// Workers a, b, c and a port p, with what stands behind each name in braces.
std::string four(const std::string& of_a = {}) {
  std::string text = "name = \"x\"\n";
  for (const char* name : {"a", "b", "c"}) {
    text += std::string("[[worker]]\nname = \"") + name + "\"\nprogram = \"true\"\n" +
            (*name == 'a' ? of_a : "");
  }
  return text + "[[port]]\nname = \"p\"\n";
}

std::string lane(const std::string& from, const std::string& to, const std::string& more = {}) {
  return "[[lane]]\nfrom = \"" + from + "\"\nto = \"" + to + "\"\n" + more;
}

TEST_F(Topology, WorkersOfACycleGetALaneForWhatTheyDefer) {
  const topology of = read(four() + lane("a", "b", "lane_bytes = \"64 KiB\"\n") + lane("b", "a") +
                           lane("b", "c") + lane("c", "p") + lane("p", "a"));
  EXPECT_TRUE(is_in_cycle(of, of.lanes[0]) && is_in_cycle(of, of.lanes[1]));
  EXPECT_FALSE(is_in_cycle(of, of.lanes[2]));
  EXPECT_FALSE(is_in_cycle(of, of.lanes[3])) << "nobody waits for ever at a port";
  std::map<std::uint32_t, std::uint64_t> deferred;
  std::set<std::uint32_t> dead;
  for (const lane_plan& each : plan_of(of).lanes) {
    if (each.purpose == lane_purpose::deferred) deferred[each.writer_slot] = each.ring_bytes;
    if (each.purpose == lane_purpose::dead_letters) dead.insert(each.writer_slot);
    if (!is_own(each.purpose)) {
      EXPECT_EQ(each.hops_max, each.in_cycle ? hops_max_default : hops_unlimited);
    } else {
      EXPECT_EQ(each.writer_slot, each.reader_slot);
    }
  }
  EXPECT_EQ(deferred, (std::map<std::uint32_t, std::uint64_t>{{0, 4U << 20}, {1, 256U << 10}}));
  EXPECT_EQ(dead, (std::set<std::uint32_t>{0, 1}));
}

TEST_F(Topology, WithoutACycleNothingIsDeferredAndHopsAreNotLimited) {
  const topology of = read(four() + lane("a", "b") + lane("b", "c") + lane("a", "c"));
  const segment_plan plan = plan_of(of);
  EXPECT_EQ(plan.lanes.size(), 3U);
  for (const lane_plan& each : plan.lanes) EXPECT_EQ(each.hops_max, hops_unlimited);
}

TEST_F(Topology, LanesSayWhatBecomesOfWhatHasNoRoomAndHowManyHopsTheyTake) {
  const topology of = read(four() + lane("a", "a", "full = \"refuse\"\nhops_max = 3\n") +
                           lane("a", "b", "full = \"drop_newest\"\nhops_max = 254\n") +
                           lane("b", "a", "hops_max = \"unlimited\"\n"));
  const segment_plan plan = plan_of(of);
  EXPECT_EQ(plan.lanes[0].policy, full_policy::refuse);
  EXPECT_EQ(plan.lanes[0].hops_max, 3U);
  EXPECT_EQ(plan.lanes[1].policy, full_policy::drop_newest);
  EXPECT_EQ(plan.lanes[1].hops_max, 254U);
  EXPECT_EQ(plan.lanes[2].policy, full_policy::defer);
  EXPECT_EQ(plan.lanes[2].hops_max, hops_unlimited);
  for (const char* bad :
       {"full = \"drop\"\n", "hops_max = 0\n", "hops_max = 255\n", "hops_max = \"many\"\n"}) {
    EXPECT_THAT(refusal(four() + lane("a", "b", bad)), HasSubstr(at_line(16))) << bad;
  }
}

TEST_F(Topology, LanesThatDropTheirOldestHaveALaneBesideThemForWhatTheyHold) {
  const topology of =
      read(four() + lane("b", "c") + lane("a", "b", "lane_bytes = 4096\nfull = \"drop_oldest\"\n") +
           lane("a", "c", "full = \"drop_oldest\"\nheld_bytes = \"2 MiB\"\n"));
  const segment_plan plan = plan_of(of);
  ASSERT_EQ(plan.lanes.size(), 5U);
  EXPECT_EQ(plan.lanes[1].policy, full_policy::drop_oldest);
  for (const std::size_t i : {3U, 4U}) {
    EXPECT_EQ(plan.lanes[i].purpose, lane_purpose::held);
    EXPECT_EQ(plan.lanes[i].beside, i - 2);
    EXPECT_EQ(plan.lanes[i].writer_slot, 0U);
    EXPECT_EQ(plan.lanes[i].reader_slot, 0U);
    EXPECT_EQ(plan.lanes[i].ring_bytes, i == 3 ? 4096U : 2U << 20);
  }
  const segment where = segment::create(plan);
  EXPECT_EQ(lane_of(where, 3).name, "a/0 -> b/0 (held)");
  EXPECT_EQ(lane_of(where, 4).name, "a/0 -> c/0 (held)");
  EXPECT_NE(plan.fingerprint, plan_of(read(four() + lane("b", "c") +
                                           lane("a", "b", "lane_bytes = 4096\n") + lane("a", "c")))
                                  .fingerprint);
}

TEST_F(Topology, DroppingTheOldestIsNotForControlNorForPortsNorForLessThanALane) {
  const std::string oldest = "full = \"drop_oldest\"\n";
  for (const char* drops : {"drop_oldest", "drop_newest", "nack"}) {
    EXPECT_THAT(
        refusal(four() + lane("a", "b", std::string("control = true\nfull = \"") + drops + "\"\n")),
        HasSubstr("what controls others is never dropped"));
  }
  EXPECT_THAT(refusal(four() + lane("p", "a", oldest)), HasSubstr("comes from a port"));
  EXPECT_EQ(refusal(four() + lane("a", "p", oldest)), "not refused");
  EXPECT_THAT(refusal(four() + lane("a", "b", "held_bytes = 4096\n")), HasSubstr("drop_oldest"));
  for (const char* bad : {"\"512 KiB\"", "\"3 MiB\"", "\"2 GiB\"", "1"}) {
    EXPECT_THAT(refusal(four() + lane("a", "b", oldest + "held_bytes = " + bad + "\n")),
                HasSubstr("held_bytes"))
        << bad;
  }
}

TEST_F(Topology, LaneOfAWorkerMayCoalesceAndAWorkerMayBeLimited) {
  const std::string merges = "full = \"coalesce\"\n";
  const std::string limits = "sends_max = 7\nin_flight_bytes_max = \"64 KiB\"\n";
  const topology of = read(four(limits) + lane("b", "c", merges) + lane("a", "b"));
  const segment_plan plan = plan_of(of);
  EXPECT_EQ(plan.lanes[0].policy, full_policy::coalesce);
  EXPECT_THAT(plan.slots[0].settings, HasSubstr("sends_max of worker=7\n"));
  EXPECT_THAT(plan.slots[0].settings, HasSubstr("in_flight_bytes_max of worker=65536\n"));
  EXPECT_THAT(plan.slots[1].settings, Not(HasSubstr("_max of worker")));
  EXPECT_THAT(refusal(four() + lane("p", "a", merges)), HasSubstr("a port's program"));
  EXPECT_THAT(refusal(four(limits) + lane("a", "b", merges)), HasSubstr("in_flight_bytes_max"));
  for (const char* bad : {"sends_max = 0\n", "sends_max = 1_000_001\n",
                          "in_flight_bytes_max = 4095\n", "in_flight_bytes_max = \"2 TiB\"\n"}) {
    EXPECT_THAT(refusal(four(bad)), HasSubstr("_max")) << bad;
  }
}

TEST_F(Topology, LanesAreOfSourcesAndPortsOrOfWorkersOrOfControl) {
  const std::string text = four("source = true\n") + lane("a", "b") + lane("b", "c") +
                           lane("p", "c") + lane("b", "c", "control = true\n");
  const segment_plan plan = plan_of(read(text));
  const std::vector<lane_purpose> expected{lane_purpose::external, lane_purpose::updates,
                                           lane_purpose::external, lane_purpose::control};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(plan.lanes[i].purpose, expected[i]) << i;
  }
  EXPECT_THAT(refusal(text + lane("b", "c", "control = true\n")), HasSubstr("b -> c"));
}

TEST_F(Topology, WeightsAndWhoseCellsAreReadAreSettingsOfTheWorker) {
  const segment_plan plan = plan_of(
      read(four("update_weight = 3\nreads = [\"b\", \"c\"]\n") + lane("b", "a") + lane("c", "a")));
  EXPECT_THAT(plan.slots[0].settings, HasSubstr("weights of worker=3,1\n"));
  EXPECT_THAT(plan.slots[0].settings, HasSubstr("reads of worker=b,c\n"));
  EXPECT_THAT(plan.slots[1].settings, Not(HasSubstr("weights of worker")));
  EXPECT_THAT(refusal(four("reads = [\"nobody\"]\n")), HasSubstr("reads names worker 'nobody'"));
  EXPECT_THAT(refusal(four("reads = \"b\"\n")), HasSubstr("not a list"));
  for (const char* bad : {"update_weight = 0\n", "external_weight = 1001\n"}) {
    EXPECT_THAT(refusal(four(bad)), HasSubstr("_weight")) << bad;
  }
}

TEST_F(Topology, WhatIsDeferredNeedsTwiceTheLargestLane) {
  const std::string cycle = lane("a", "b") + lane("b", "a");
  for (const char* bad : {"\"1 MiB\"", "\"3 MiB\"", "\"2 GiB\"", "1"}) {
    EXPECT_THAT(refusal(four(std::string("deferred_bytes = ") + bad + "\n") + cycle),
                HasSubstr("deferred_bytes"))
        << bad;
  }
  EXPECT_EQ(refusal(four("deferred_bytes = \"2 MiB\"\n") + cycle), "not refused");
}

TEST_F(Topology, LanesThatAreThereAlreadyAreRefused) {
  EXPECT_THAT(refusal(four() + lane("a", "b") + lane("a", "b")), HasSubstr("a -> b"))
      << "two lanes of one pair would take turns in by_key()";
}

TEST_F(Topology, FilesThatAreNoneAreRefused) {
  topology_request request;
  request.path = (folder_ / "absent.toml").string();
  EXPECT_THROW(read_topology(request), error);
  request.path = folder_.path().string();
  EXPECT_THROW(read_topology(request), error);
}

TEST_F(Topology, NamesThatNoSystemCanHaveAreRefusedByTheFile) {
  for (const char* name : {"a b", "", "../x", "a/b"}) {
    const std::string text = without_input(with_line(1, std::string("name = \"") + name + "\""));
    EXPECT_THAT(refusal(text), AllOf(HasSubstr(path()), HasSubstr("system name"))) << name;
  }
}

TEST_F(Topology, MembersThatOwnKeysGetLanesToEachOther) {
  const std::string members = "partitioned = true\ncount = 2\ncount_max = 3\n";
  const topology of =
      read(four(members) + lane("b", "a", "lane_bytes = \"256 KiB\"\n") + lane("a", "c"));
  const segment_plan plan = plan_of(of);
  std::set<std::pair<std::uint32_t, std::uint32_t>> between;
  for (const lane_plan& each : plan.lanes) {
    if (each.writer_slot > 2 || each.reader_slot > 2) continue;
    EXPECT_EQ(each.ring_bytes, 256U << 10);
    EXPECT_FALSE(each.in_cycle);
    between.emplace(each.writer_slot, each.reader_slot);
  }
  EXPECT_EQ(between.size(), 6U);
  EXPECT_EQ(plan.lanes.size(), 6U + 3U + 3U);
  for (std::size_t i = 0; i < plan.slots.size(); ++i) {
    EXPECT_EQ((plan.slots[i].flags & slot_is_partitioned) != 0, i < 3) << i;
  }
}

TEST_F(Topology, WhoCannotOwnKeysIsRefused) {
  const std::string members = "partitioned = true\n";
  EXPECT_THAT(refusal(four(members) + lane("a", "b") + lane("b", "a")),
              HasSubstr("is partitioned, and lane a -> b is in a cycle"));
  EXPECT_THAT(refusal(four(members) + lane("a", "a")), HasSubstr("is in a cycle"));
  EXPECT_THAT(refusal(four(members) + lane("p", "a")), HasSubstr("lane p -> a comes from a port"));
  EXPECT_THAT(refusal(four(members + "source = true\n")), HasSubstr("a source or plain"));
  EXPECT_THAT(refusal(four(members + "plain = true\n")), HasSubstr("a source or plain"));
  const topology to_a_port = read(four(members) + lane("b", "a") + lane("a", "p"));
  EXPECT_TRUE(to_a_port.workers[0].is_partitioned);
}

TEST(TopologyPlan, HasASlotForEachMemberAndALaneForEachPair) {
  topology of;
  of.name = "x";
  of.workers.resize(2);
  of.workers[0].name = "a";
  of.workers[0].count = 2;
  of.workers[0].is_source = true;
  of.workers[0].settings = {{"key", "value"}};
  of.workers[1].name = "b";
  of.workers[1].count = 3;
  of.lanes = {{"a", "b", 8192, "lane_bytes"}};
  check(of);
  const segment_plan plan = plan_of(of);
  ASSERT_EQ(plan.slots.size(), 5U);
  EXPECT_EQ(plan.slots[1].name, "a/1");
  EXPECT_EQ(plan.slots[1].group, "a");
  EXPECT_EQ(plan.slots[4].member, 2U);
  EXPECT_EQ(plan.slots[0].flags, slot_is_source);
  EXPECT_THAT(plan.slots[0].settings, HasSubstr("key=value\n"));
  ASSERT_EQ(plan.lanes.size(), 6U);
  EXPECT_EQ(plan.lanes[5].writer_slot, 1U);
  EXPECT_EQ(plan.lanes[5].reader_slot, 4U);
}

TEST(TopologyPlan, FingerprintChangesWithWhateverASuccessorMustKnow) {
  topology of;
  of.name = "x";
  of.workers.resize(2);
  of.workers[0].name = "a";
  of.workers[1].name = "b";
  of.lanes = {{"a", "b", 8192, "lane_bytes"}};
  const std::uint64_t before = plan_of(of).fingerprint;
  EXPECT_EQ(plan_of(of).fingerprint, before);
  int number = 0;
  for (const auto& change : std::vector<std::function<void(topology&)>>{
           [](topology& to) { to.workers[0].count = 2; },
           [](topology& to) { to.workers[1].program = "other"; },
           [](topology& to) { to.workers[0].arguments = {"x"}; },
           [](topology& to) {
             to.workers[0].settings = {{"a", "b"}};
           },
           [](topology& to) { to.workers[0].is_source = true; },
           [](topology& to) { to.lanes[0].lane_bytes = 4096; },
           [](topology& to) { to.lanes.clear(); }}) {
    topology other = of;
    change(other);
    EXPECT_NE(plan_of(other).fingerprint, before) << "change " << number;
    ++number;
  }
}

TEST(ParseBytes, TakesNumbersWithAndWithoutUnits) {
  EXPECT_EQ(parse_bytes("0"), 0U);
  EXPECT_EQ(parse_bytes("4096"), 4096U);
  EXPECT_EQ(parse_bytes("10B"), 10U);
  EXPECT_EQ(parse_bytes("64KiB"), 65536U);
  EXPECT_EQ(parse_bytes("1 MiB"), 1U << 20);
  EXPECT_EQ(parse_bytes("3GiB"), 3ULL << 30);
  EXPECT_EQ(parse_bytes("1TiB"), 1ULL << 40);
  EXPECT_EQ(parse_bytes("18446744073709551615"), ~0ULL);
  EXPECT_EQ(parse_bytes("16777215TiB"), 16777215ULL << 40);
}

TEST(ParseBytes, RefusesWhatIsNoSize) {
  for (const char* text : {"", "KiB", "-1", "+1", "1.5MiB", "1kb", "1 KB", "64kib", "1KiBs",
                           "18446744073709551616", "16777216TiB", "0x10", "1e3", "6 4KiB", "1\n"}) {
    EXPECT_THROW(parse_bytes(text), std::invalid_argument) << text;
  }
}

}  // namespace
}  // namespace cyto::tools
