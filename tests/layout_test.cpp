// The documents say what the code says: the bytes of docs/LAYOUT.md, the promises of
// docs/ORDERING.md, and what the README quotes.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cyto/cyto.hpp>
#include <filesystem>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "support/files.hpp"

namespace cyto::test {
namespace {

namespace fs = std::filesystem;

const fs::path root = CYTO_SOURCE_DIR;
using names = std::set<std::string>;

std::string text_of(const std::string& file) {
  const std::string text = read_file(root / file);
  EXPECT_NE(text, "") << file << " is empty or not there";
  return text;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// What group 1 of `pattern` is, at every place in `text` where it matches.
names all_of(const std::string& text, const std::string& pattern) {
  const std::regex expression(pattern);
  names found;
  for (std::sregex_iterator at(text.begin(), text.end(), expression), end; at != end; ++at) {
    found.insert((*at)[1]);
  }
  return found;
}

// From the line `heading` to the next heading of its level.
std::string section(const std::string& text, const std::string& heading) {
  const std::size_t begin = text.find("\n" + heading + "\n");
  EXPECT_NE(begin, std::string::npos) << heading;
  if (begin == std::string::npos) return {};
  return text.substr(begin, text.find("\n## ", begin + 1) - begin);
}

// ---- the bytes ----

struct field {
  std::size_t offset;
  std::size_t bytes;
  friend bool operator==(const field&, const field&) = default;
};

void PrintTo(const field& at, std::ostream* out) { *out << at.offset << "+" << at.bytes; }

struct structure {
  std::size_t bytes = 0;
  std::map<std::string, field> fields;
  friend bool operator==(const structure&, const structure&) = default;
};

#define CYTO_FIELD(type, name)                                \
  {                                                           \
#name, field { offsetof(type, name), sizeof(type::name) } \
  }

std::map<std::string, structure> structures_of_the_compiler() {
  std::map<std::string, structure> all;
  all["segment_header"] = {
      sizeof(segment_header),
      {CYTO_FIELD(segment_header, ready), CYTO_FIELD(segment_header, segment_bytes),
       CYTO_FIELD(segment_header, fingerprint), CYTO_FIELD(segment_header, slot_count),
       CYTO_FIELD(segment_header, lane_count), CYTO_FIELD(segment_header, slots_offset),
       CYTO_FIELD(segment_header, lanes_offset), CYTO_FIELD(segment_header, settings_offset),
       CYTO_FIELD(segment_header, settings_bytes), CYTO_FIELD(segment_header, doorbells_offset),
       CYTO_FIELD(segment_header, board_offset), CYTO_FIELD(segment_header, deaths_offset),
       CYTO_FIELD(segment_header, name)}};
  all["slot_entry"] = {
      sizeof(slot_entry),
      {CYTO_FIELD(slot_entry, name), CYTO_FIELD(slot_entry, group), CYTO_FIELD(slot_entry, member),
       CYTO_FIELD(slot_entry, flags), CYTO_FIELD(slot_entry, input_count),
       CYTO_FIELD(slot_entry, output_count), CYTO_FIELD(slot_entry, control_offset),
       CYTO_FIELD(slot_entry, control_bytes), CYTO_FIELD(slot_entry, arena_offset),
       CYTO_FIELD(slot_entry, arena_bytes), CYTO_FIELD(slot_entry, settings_offset),
       CYTO_FIELD(slot_entry, settings_bytes), CYTO_FIELD(slot_entry, quarantine_offset),
       CYTO_FIELD(slot_entry, quarantine_bytes), CYTO_FIELD(slot_entry, trace_offset),
       CYTO_FIELD(slot_entry, trace_bytes)}};
  all["lane_entry"] = {sizeof(lane_entry),
                       {CYTO_FIELD(lane_entry, writer_slot), CYTO_FIELD(lane_entry, reader_slot),
                        CYTO_FIELD(lane_entry, writer_index), CYTO_FIELD(lane_entry, reader_index),
                        CYTO_FIELD(lane_entry, ring_offset), CYTO_FIELD(lane_entry, ring_bytes),
                        CYTO_FIELD(lane_entry, purpose), CYTO_FIELD(lane_entry, policy),
                        CYTO_FIELD(lane_entry, hops_max), CYTO_FIELD(lane_entry, in_cycle),
                        CYTO_FIELD(lane_entry, beside), CYTO_FIELD(lane_entry, unused)}};
  all["doorbell_line"] = {sizeof(doorbell_line),
                          {CYTO_FIELD(doorbell_line, parked), CYTO_FIELD(doorbell_line, address)}};
  all["board"] = {
      sizeof(board),
      {CYTO_FIELD(board, phase), CYTO_FIELD(board, watched), CYTO_FIELD(board, supervisor_pid),
       CYTO_FIELD(board, adoptions), CYTO_FIELD(board, started_ns), CYTO_FIELD(board, death_count),
       CYTO_FIELD(board, standings), CYTO_FIELD(board, tracing), CYTO_FIELD(board, moves),
       CYTO_FIELD(board, settled), CYTO_FIELD(board, deaths)}};
  all["death_entry"] = {sizeof(death_entry),
                        {CYTO_FIELD(death_entry, at_ns), CYTO_FIELD(death_entry, child)}};
  all["board_slot"] = {sizeof(board_slot),
                       {CYTO_FIELD(board_slot, spawned_pid), CYTO_FIELD(board_slot, restarts),
                        CYTO_FIELD(board_slot, spawned_start_time), CYTO_FIELD(board_slot, kills),
                        CYTO_FIELD(board_slot, deaths), CYTO_FIELD(board_slot, last_exit),
                        CYTO_FIELD(board_slot, order), CYTO_FIELD(board_slot, standing),
                        CYTO_FIELD(board_slot, stalled), CYTO_FIELD(board_slot, other_program),
                        CYTO_FIELD(board_slot, share)}};
  all["version<3>"] = {sizeof(version<3>),
                       {CYTO_FIELD(version<3>, tag), CYTO_FIELD(version<3>, value)}};
  all["control"] = {sizeof(control),
                    {CYTO_FIELD(control, commit),         CYTO_FIELD(control, state),
                     CYTO_FIELD(control, finished),       CYTO_FIELD(control, pid),
                     CYTO_FIELD(control, incarnation),    CYTO_FIELD(control, start_time),
                     CYTO_FIELD(control, turns),          CYTO_FIELD(control, aborts),
                     CYTO_FIELD(control, parks),          CYTO_FIELD(control, progress_done),
                     CYTO_FIELD(control, progress_total), CYTO_FIELD(control, root),
                     CYTO_FIELD(control, failure_code),   CYTO_FIELD(control, failure_bytes),
                     CYTO_FIELD(control, failure_text),   CYTO_FIELD(control, touched_count),
                     CYTO_FIELD(control, touched),        CYTO_FIELD(control, quarantine),
                     CYTO_FIELD(control, handling),       CYTO_FIELD(control, fault),
                     CYTO_FIELD(control, traced),         CYTO_FIELD(control, waits_for),
                     CYTO_FIELD(control, asks_for),       CYTO_FIELD(control, events),
                     CYTO_FIELD(control, shapes),         CYTO_FIELD(control, dead_kinds),
                     CYTO_FIELD(control, followed),       CYTO_FIELD(control, handed)}};
  all["trace_note"] = {sizeof(trace_note),
                       {CYTO_FIELD(trace_note, from), CYTO_FIELD(trace_note, period)}};
  all["errand_line"] = {sizeof(errand_line),
                        {CYTO_FIELD(errand_line, number), CYTO_FIELD(errand_line, what),
                         CYTO_FIELD(errand_line, message), CYTO_FIELD(errand_line, fatal),
                         CYTO_FIELD(errand_line, status)}};
  all["suspect"] = {
      sizeof(suspect),
      {CYTO_FIELD(suspect, position), CYTO_FIELD(suspect, deaths), CYTO_FIELD(suspect, status),
       CYTO_FIELD(suspect, set_aside), CYTO_FIELD(suspect, unused)}};
  all["death_report"] = {
      sizeof(death_report),
      {CYTO_FIELD(death_report, number),        CYTO_FIELD(death_report, at_ns),
       CYTO_FIELD(death_report, position),      CYTO_FIELD(death_report, stamp),
       CYTO_FIELD(death_report, fault_address), CYTO_FIELD(death_report, pid),
       CYTO_FIELD(death_report, incarnation),   CYTO_FIELD(death_report, seen),
       CYTO_FIELD(death_report, status),        CYTO_FIELD(death_report, hand),
       CYTO_FIELD(death_report, input),         CYTO_FIELD(death_report, writer_slot),
       CYTO_FIELD(death_report, size),          CYTO_FIELD(death_report, kind),
       CYTO_FIELD(death_report, deaths),        CYTO_FIELD(death_report, set_aside),
       CYTO_FIELD(death_report, fault_signal),  CYTO_FIELD(death_report, fault_code),
       CYTO_FIELD(death_report, fault_sender),  CYTO_FIELD(death_report, text_bytes),
       CYTO_FIELD(death_report, head_bytes),    CYTO_FIELD(death_report, output_bytes),
       CYTO_FIELD(death_report, unused),        CYTO_FIELD(death_report, text),
       CYTO_FIELD(death_report, head),          CYTO_FIELD(death_report, output),
       CYTO_FIELD(death_report, events)}};
  all["fault_note"] = {sizeof(fault_note),
                       {CYTO_FIELD(fault_note, address), CYTO_FIELD(fault_note, signal),
                        CYTO_FIELD(fault_note, code), CYTO_FIELD(fault_note, sender)}};
  all["flight_event"] = {sizeof(flight_event),
                         {CYTO_FIELD(flight_event, number), CYTO_FIELD(flight_event, what_lane),
                          CYTO_FIELD(flight_event, detail), CYTO_FIELD(flight_event, first),
                          CYTO_FIELD(flight_event, second)}};
  all["quarantined_record"] = {
      sizeof(quarantined_record),
      {CYTO_FIELD(quarantined_record, number), CYTO_FIELD(quarantined_record, stamp),
       CYTO_FIELD(quarantined_record, position), CYTO_FIELD(quarantined_record, at_ns),
       CYTO_FIELD(quarantined_record, size), CYTO_FIELD(quarantined_record, kind),
       CYTO_FIELD(quarantined_record, hops), CYTO_FIELD(quarantined_record, input),
       CYTO_FIELD(quarantined_record, writer_slot), CYTO_FIELD(quarantined_record, deaths),
       CYTO_FIELD(quarantined_record, status), CYTO_FIELD(quarantined_record, refused),
       CYTO_FIELD(quarantined_record, type)}};
  all["input_line"] = {sizeof(input_line),
                       {CYTO_FIELD(input_line, taken), CYTO_FIELD(input_line, read_published),
                        CYTO_FIELD(input_line, fenced)}};
  all["output_line"] = {sizeof(output_line),
                        {CYTO_FIELD(output_line, sent), CYTO_FIELD(output_line, lost),
                         CYTO_FIELD(output_line, merged)}};
  all["dead_letter"] = {sizeof(dead_letter),
                        {CYTO_FIELD(dead_letter, reader_slot), CYTO_FIELD(dead_letter, kind),
                         CYTO_FIELD(dead_letter, hops), CYTO_FIELD(dead_letter, size),
                         CYTO_FIELD(dead_letter, stamp)}};
  all["record_header"] = {sizeof(record_header),
                          {CYTO_FIELD(record_header, size_wide),
                           CYTO_FIELD(record_header, kind_hops), CYTO_FIELD(record_header, ready)}};
  all["cell_record"] = {sizeof(cell_record),
                        {CYTO_FIELD(cell_record, value), CYTO_FIELD(cell_record, previous),
                         CYTO_FIELD(cell_record, hash), CYTO_FIELD(cell_record, kind),
                         CYTO_FIELD(cell_record, name_bytes)}};
  all["member_record"] = {sizeof(member_record),
                          {CYTO_FIELD(member_record, previous8), CYTO_FIELD(member_record, cell8),
                           CYTO_FIELD(member_record, bytes)}};
  return all;
}

#undef CYTO_FIELD

// Headings such as "### board, 64 bytes", each with its table of fields below it.
std::map<std::string, structure> structures_of_the_document() {
  static const std::regex heading(R"(### ([a-z_<>0-9]+), ([0-9]+) bytes)");
  static const std::regex row(R"(\| ([0-9]+) \| ([0-9]+) \| ([a-z_0-9]+) \|.*)");
  std::map<std::string, structure> all;
  structure* current = nullptr;
  for (const std::string& line : lines_of(text_of("docs/LAYOUT.md"))) {
    std::smatch match;
    if (line.starts_with("#")) current = nullptr;
    if (std::regex_match(line, match, heading)) {
      current = &all[match[1]];
      current->bytes = std::stoul(match[2]);
    } else if (current != nullptr && std::regex_match(line, match, row)) {
      current->fields[match[3]] = {std::stoul(match[1]), std::stoul(match[2])};
    }
  }
  return all;
}

TEST(Layout, DocumentHasTheOffsetsAndSizesOfTheCompiler) {
  const auto document = structures_of_the_document();
  const auto compiler = structures_of_the_compiler();
  for (const auto& [name, expected] : compiler) {
    ASSERT_TRUE(document.contains(name)) << name;
    EXPECT_EQ(document.at(name).bytes, expected.bytes) << name;
    EXPECT_EQ(document.at(name).fields, expected.fields) << name;
  }
  EXPECT_EQ(document.size(), compiler.size());
  EXPECT_EQ(sizeof(versioned<3>), 64U);
  EXPECT_EQ(sizeof(versioned<7>), 128U);
}

TEST(Layout, DocumentHasTheLimits) {
  const std::map<std::string, std::uint64_t> limits = {
      {"layout_version", layout_version},
      {"line_bytes", line_bytes},
      {"page_bytes", page_bytes},
      {"name_bytes_max", name_bytes_max},
      {"slot_count_max", slot_count_max},
      {"lane_bytes_min", lane_bytes_min},
      {"lane_bytes_max", lane_bytes_max},
      {"arena_bytes_max", arena_bytes_max},
      {"deaths_max", deaths_max},
      {"touched_max", touched_max},
      {"failure_bytes_max", failure_bytes_max},
      {"quarantine_bytes_max", quarantine_bytes_max},
      {"trace_bytes_min", trace_bytes_min},
      {"trace_bytes_max", trace_bytes_max},
      {"flight_events", flight_events},
      {"cell_name_bytes_max", cell_name_bytes_max}};
  std::map<std::string, std::uint64_t> document;
  static const std::regex row(R"(\| ([a-z_]+) \| ([0-9]+) \|)");
  for (const std::string& line : lines_of(section(text_of("docs/LAYOUT.md"), "## Limits"))) {
    std::smatch match;
    if (std::regex_match(line, match, row)) document[match[1]] = std::stoull(match[2]);
  }
  EXPECT_EQ(document, limits);
}

segment_plan small_plan() {
  segment_plan plan;
  plan.name = "layout";
  plan.slots = {{"a", "a", 0, 0, 5000, "key=value\n", 5000, 8192}, {"b", "b", 0, 0, 0, {}}};
  plan.lanes = {{0, 1, lane_bytes_min}};
  return plan;
}

TEST(Layout, PartsFollowEachOtherAsDrawnAndBeginAtPages) {
  const segment where = segment::create(small_plan());
  const segment_header& header = where.header();
  const slot_entry& a = where.slot(0);
  const slot_entry& b = where.slot(1);
  const std::vector<std::uint64_t> offsets = {
      header.doorbells_offset, header.board_offset, header.deaths_offset,
      a.control_offset,        a.arena_offset,      a.quarantine_offset,
      a.trace_offset,          b.control_offset,    b.arena_offset,
      b.quarantine_offset,     b.trace_offset,      where.lane(0).ring_offset};
  EXPECT_TRUE(std::is_sorted(offsets.begin(), offsets.end()));
  for (const std::uint64_t offset : offsets) EXPECT_EQ(offset % page_bytes, 0U) << offset;
  EXPECT_EQ(where.lane(0).ring_offset + lane_bytes_min, header.segment_bytes);
  EXPECT_EQ(header.slots_offset, sizeof(segment_header));
  EXPECT_EQ(where.settings(0), "key=value\n");
}

// ---- the promises ----

TEST(Ordering, HeadersAndDocumentNameTheSamePromises) {
  names in_headers;
  for (const auto& entry : fs::directory_iterator(root / "include/cyto")) {
    in_headers.merge(all_of(read_file(entry.path()), R"(\n//   ([A-Z][0-9]+) )"));
  }
  EXPECT_GT(in_headers.size(), 30U);
  EXPECT_EQ(all_of(text_of("docs/ORDERING.md"), R"(\n\| ([A-Z][0-9]+) \|)"), in_headers);
}

TEST(Ordering, CodeCitesPromisesThatThereAre) {
  const names promised = all_of(text_of("docs/ORDERING.md"), R"(\n\| ([A-Z][0-9]+) \|)");
  for (const char* folder : {"include/cyto", "src"}) {
    for (const auto& entry : fs::directory_iterator(root / folder)) {
      const std::string text = read_file(entry.path());
      for (const std::string& cited : all_of(text, R"(// ([A-Z][0-9])\b)")) {
        EXPECT_TRUE(promised.contains(cited)) << entry.path() << " cites " << cited;
      }
    }
  }
}

// What the document says of the models is what tests/model/run.sh runs.
TEST(Ordering, SwitchesOfTheModelsAreRun) {
  const std::string script = text_of("tests/model/run.sh");
  int rows = 0;
  for (const std::string& line : lines_of(text_of("docs/ORDERING.md"))) {
    for (const char* how : {"broken by ", "with "}) {
      const std::string words = std::string("([a-z]+)\\.pml,? ") + how + "([A-Z0-9=, ]+)[;|]";
      std::smatch match;
      if (!line.starts_with("| ") || !std::regex_search(line, match, std::regex(words))) continue;
      ++rows;
      const std::string verdict = how == std::string("with ") ? "holds" : "broken";
      for (const std::string& each : all_of(match[2], "([A-Z0-9=]+)")) {
        const std::string run =
            "\"" + verdict + " +" + match[1].str() + " [^\"]*-D" + each + "[ \"]";
        EXPECT_TRUE(std::regex_search(script, std::regex(run))) << "no run " << run;
      }
    }
  }
  EXPECT_GT(rows, 8);
}

TEST(Documents, FilesTheyNameExist) {
  constexpr std::array folders = {"",
                                  "docs",
                                  "include",
                                  "include/cyto",
                                  "tools",
                                  "tests/",
                                  "tests/model",
                                  "examples/hello",
                                  "examples/revdeps",
                                  "src",
                                  "tests/support",
                                  "tests/model/litmus"};
  for (const char* document :
       {"README.md", "docs/ARCHITECTURE.md", "docs/LAYOUT.md", "docs/ORDERING.md",
        "docs/RELIABILITY.md", "tests/model/README.md"}) {
    const std::string pattern = R"(([A-Za-z0-9_][A-Za-z0-9_/.-]*\.(cpp|hpp|pml|sh|md|toml|fbs))\b)";
    for (const std::string& name : all_of(text_of(document), pattern)) {
      EXPECT_TRUE(std::any_of(folders.begin(), folders.end(),
                              [&](const char* folder) { return fs::exists(root / folder / name); }))
          << document << " names " << name;
    }
  }
}

// ---- the README ----

TEST(Readme, ShowsTheHelloPairAsItIs) {
  const std::string readme = text_of("README.md");
  for (const char* file : {"send.cpp", "receive.cpp", "tick.fbs"}) {
    const std::string text = text_of(std::string("examples/hello/") + file);
    EXPECT_NE(readme.find("\n" + text + "```\n"), readme.npos) << file;
  }
}

TEST(Readme, NamesTheOptionsOfTheCommandAndNoOthers) {
  std::string about_cyto;
  for (const std::string& line : lines_of(text_of("README.md"))) {
    if (line.find("cmake") == line.npos) about_cyto += line + "\n";
  }
  const std::string command = text_of("tools/main.cpp") + text_of("experiments/main.cpp");
  for (const std::string& option : all_of(about_cyto, R"((--[a-z][a-z-]*))")) {
    EXPECT_NE(command.find(option), command.npos) << "cyto has no " << option;
  }
  for (const std::string& option : all_of(command, R"re("(--[a-z][a-z-]*)")re")) {
    EXPECT_NE(about_cyto.find(option), about_cyto.npos) << "the README does not name " << option;
  }
  for (const std::string& verb : all_of(command, R"re(looking\("([a-z]+)")re")) {
    EXPECT_NE(about_cyto.find("`cyto " + verb), about_cyto.npos) << verb;
  }
}

TEST(Readme, NamesTheKeysOfTheTopologyAndNoOthers) {
  const std::string code = text_of("tools/topology_file.cpp");
  names known;
  for (const std::string& list : all_of(code, R"(only\([^{]*\{([^}]*)\})")) {
    known.merge(all_of(list, R"re("([a-z_]+)")re"));
  }
  EXPECT_GT(known.size(), 15U);
  names named;
  for (const std::string& line : lines_of(section(text_of("README.md"), "## The topology file"))) {
    if (line.starts_with("| `")) {
      named.merge(all_of(line.substr(0, line.find('|', 1)), "`([a-z_]+)`"));
    }
  }
  EXPECT_EQ(named, known);
}

// The first table of exit codes in the README and the one the command prints.
TEST(Readme, NamesTheExitCodesThatTheHelpNames) {
  const std::string command = text_of("tools/main.cpp");
  const std::size_t begin = command.find("exit_codes =");
  const std::string help = command.substr(begin, command.find(';', begin) - begin);
  names named;
  for (const std::string& cell : all_of(text_of("README.md"), R"(\n\| ([0-9, ]+) \|)")) {
    named.merge(all_of(cell, "([0-9]+)"));
  }
  EXPECT_EQ(named, all_of(help, R"(\b([0-9]+)\b)"));
}

}  // namespace
}  // namespace cyto::test
