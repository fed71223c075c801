// Reads the sources and holds them to the rules that no compiler knows: layer order, opening
// comments, line length, where memory orders may stand, what tools may include, leftovers. Each
// checker is a function from text to complaints, and is itself tested with text that breaks its
// rule.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace fs = std::filesystem;
using complaints = std::vector<std::string>;

// Bottom to top: a header includes only what stands before it. The umbrella comes last.
constexpr std::array<std::string_view, 29> layers = {
    "types",        "error",          "cursor",     "postmortem", "segment", "observe",
    "tracing",      "doorbell",       "record",     "lane",       "message", "schema",
    "stamp",        "version_vector", "turn",       "mailbox",    "cell",    "snapshot",
    "quarantine",   "update",         "propagator", "port",       "pair",    "shared_port",
    "rate_control", "worker",         "supervisor", "pool",       "cyto"};

// The layer at which FlatBuffers and the heavy standard headers enter.
constexpr std::string_view first_heavy_layer = "message";

constexpr std::array<std::string_view, 7> code_folders = {
    "include", "src", "tools", "tests", "bench", "examples", "experiments"};

std::size_t layer_of(std::string_view name) {
  return static_cast<std::size_t>(std::find(layers.begin(), layers.end(), name) - layers.begin());
}

std::string at_line(const std::string& file, std::size_t line) {
  return file + ":" + std::to_string(line) + ": ";
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

struct include_line {
  std::size_t line;
  bool quoted;
  std::string path;
};

std::vector<include_line> includes_of(const std::string& text) {
  static const std::regex pattern(R"re(^\s*#\s*include\s*([<"])([^>"]+)[>"])re");
  std::vector<include_line> found;
  const auto lines = lines_of(text);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    std::smatch match;
    if (std::regex_search(lines[i], match, pattern)) {
      found.push_back({i + 1, match[1] == "\"", match[2]});
    }
  }
  return found;
}

// The name of the layer whose public header this include names, or nothing.
std::string layer_included(const include_line& include) {
  const fs::path path(include.path);
  const bool in_cyto = path.parent_path() == "cyto";
  const bool beside = include.quoted && path.parent_path().empty();
  if (path.extension() != ".hpp" || !(in_cyto || beside)) return {};
  return path.stem().string();
}

// Rule 1, for one public header: includes point downward, and heavy headers stay above.
complaints check_layer(const std::string& file, const std::string& text) {
  complaints found;
  const std::string name = fs::path(file).stem().string();
  const std::size_t own = layer_of(name);
  if (own == layers.size()) return {file + ": is no layer; the list of layers does not have it"};
  const bool light = own < layer_of(first_heavy_layer);
  for (const auto& include : includes_of(text)) {
    const std::string where = at_line(file, include.line);
    const std::string below = layer_included(include);
    if (!below.empty() && layer_of(below) >= own) {
      found.push_back(where + below + " does not stand below " + name);
    }
    if (include.path.starts_with("boost/")) {
      found.push_back(where + "no public header may include Boost");
    }
    const bool heavy = include.path == "functional" || include.path == "iostream" ||
                       include.path.starts_with("flatbuffers/") ||
                       include.path.ends_with("_generated.h");
    if (light && heavy) {
      found.push_back(where + "<" + include.path + "> may not enter below " +
                      std::string(first_heavy_layer));
    }
  }
  return found;
}

// Rule 1, for the umbrella: it includes every layer there is, in the list's order.
complaints check_umbrella(const std::string& text, const std::set<std::string>& existing) {
  std::vector<std::string> expected;
  for (const auto layer : layers) {
    const std::string name(layer);
    if (name != "cyto" && existing.contains(name)) expected.push_back(name);
  }
  std::vector<std::string> actual;
  for (const auto& include : includes_of(text)) {
    if (const std::string name = layer_included(include); !name.empty()) actual.push_back(name);
  }
  if (actual == expected) return {};
  std::string says = "cyto.hpp: includes";
  for (const auto& name : actual) says += " " + name;
  says += "; the layers are";
  for (const auto& name : expected) says += " " + name;
  return {says};
}

// The comment before the first line of code, without its comment marks.
std::string opening_comment(const std::string& text) {
  std::string comment;
  for (const auto& line : lines_of(text)) {
    const auto first = line.find_first_not_of(" \t");
    if (first == std::string::npos || line.starts_with("#pragma once")) continue;
    if (line.compare(first, 2, "//") != 0) break;
    comment += line.substr(first + 2) + "\n";
  }
  return comment;
}

// Rule 2: the five paragraphs of a public header, in their order.
complaints check_opening(const std::string& file, const std::string& text) {
  const std::string comment = opening_comment(text);
  std::string::size_type from = 0;
  for (const char* word : {"What", "Who", "Layout", "Ordering", "Death"}) {
    std::smatch match;
    const std::string rest = comment.substr(from);
    if (!std::regex_search(rest, match, std::regex("\\b" + std::string(word) + "\\b"))) {
      return {file + ": its opening comment lacks '" + word + "', or has it out of order"};
    }
    from += static_cast<std::string::size_type>(match.position() + match.length());
  }
  return {};
}

// Characters, not bytes: whatever continues a UTF-8 sequence adds no column.
std::size_t columns_of(std::string_view line) {
  return static_cast<std::size_t>(std::count_if(line.begin(), line.end(), [](char byte) {
    return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U;
  }));
}

// Rule 3.
complaints check_width(const std::string& file, const std::string& text) {
  complaints found;
  const auto lines = lines_of(text);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (const auto columns = columns_of(lines[i]); columns > 100) {
      found.push_back(at_line(file, i + 1) + std::to_string(columns) + " columns, 100 at most");
    }
  }
  return found;
}

// Rule 4: memory orders have a few homes; elsewhere the role is the word (own, observe, publish).
complaints check_orders(const std::string& file, const std::string& text) {
  const bool home = file == "include/cyto/cursor.hpp" || file == "include/cyto/doorbell.hpp" ||
                    file.starts_with("src/futex") || file.starts_with("tests/litmus");
  if (home) return {};
  complaints found;
  const auto lines = lines_of(text);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    // Split, so that this line is not a finding.
    if (lines[i].find(std::string("memory_") + "order") != std::string::npos) {
      found.push_back(at_line(file, i + 1) + "a memory order outside cursor.hpp and doorbell.hpp");
    }
  }
  return found;
}

// Rule 5, for tools, examples and experiments: of cyto they see what every user sees.
complaints check_public(const std::string& file, const std::string& text,
                        const std::set<std::string>& private_headers) {
  complaints found;
  for (const auto& include : includes_of(text)) {
    const fs::path path(include.path);
    const bool reaches = std::find(path.begin(), path.end(), "src") != path.end();
    const bool names = private_headers.contains(path.filename().string());
    const bool quoted_public = include.quoted && include.path.starts_with("cyto/");
    if (reaches || (include.quoted && names)) {
      found.push_back(at_line(file, include.line) + include.path + " is private to the library");
    } else if (quoted_public) {
      found.push_back(at_line(file, include.line) + "write <" + include.path + ">");
    }
  }
  return found;
}

// Rule 6. The classes of one letter keep the pattern from being a finding.
complaints check_leftovers(const std::string& file, const std::string& text) {
  static const std::regex words(R"re(\b(FIXM[E]|XX[X]|TOD[O])\b)re");
  complaints found;
  const auto lines = lines_of(text);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (lines[i].find('\t') != std::string::npos) {
      found.push_back(at_line(file, i + 1) + "a tab character");
    }
    std::smatch match;
    if (std::regex_search(lines[i], match, words)) {
      found.push_back(at_line(file, i + 1) + "a leftover '" + match.str() + "'");
    }
  }
  return found;
}

// ---- the tree ----

struct source_file {
  std::string path;  // Relative to the project's root, with slashes.
  std::string text;
};

std::string read_text(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

// Whatever a person writes; recorded data and results are as they are.
bool is_written(const fs::path& path) {
  static const std::set<std::string> kinds = {".hpp", ".cpp",   ".h",    ".fbs", ".sh",
                                              ".txt", ".cmake", ".toml", ".pml", ".py"};
  return kinds.contains(path.extension().string());
}

std::vector<source_file> sources_under(std::string_view folder) {
  const fs::path root(CYTO_SOURCE_DIR);
  std::vector<source_file> found;
  if (!fs::exists(root / folder)) return found;
  for (auto it = fs::recursive_directory_iterator(root / folder);
       it != fs::recursive_directory_iterator(); ++it) {
    const std::string name = it->path().filename().string();
    if (it->is_directory() && (name == "data" || name == "results")) it.disable_recursion_pending();
    if (it->is_regular_file() && is_written(it->path())) {
      found.push_back({fs::relative(it->path(), root).generic_string(), read_text(it->path())});
    }
  }
  std::sort(found.begin(), found.end(),
            [](const auto& left, const auto& right) { return left.path < right.path; });
  return found;
}

template <typename Checker>
std::string check_under(std::span<const std::string_view> folders, Checker checker) {
  std::string all;
  for (const auto folder : folders) {
    for (const auto& file : sources_under(folder)) {
      for (const auto& complaint : checker(file.path, file.text)) all += complaint + "\n";
    }
  }
  return all;
}

constexpr std::array<std::string_view, 1> public_folder = {"include/cyto"};

bool is_umbrella(const std::string& file) { return file.ends_with("/cyto.hpp"); }

TEST(tidy, finds_the_sources) {
  EXPECT_FALSE(sources_under("include/cyto").empty());
  const auto tests = sources_under("tests");
  EXPECT_TRUE(std::any_of(tests.begin(), tests.end(),
                          [](const auto& file) { return file.path == "tests/tidy_test.cpp"; }));
}

TEST(tidy, headers_include_only_lower_layers) {
  EXPECT_EQ(check_under(public_folder, check_layer), "");
}

TEST(tidy, umbrella_lists_the_layers_in_order) {
  std::set<std::string> existing;
  for (const auto& file : sources_under("include/cyto")) {
    existing.insert(fs::path(file.path).stem().string());
  }
  const auto umbrella = read_text(fs::path(CYTO_SOURCE_DIR) / "include/cyto/cyto.hpp");
  EXPECT_EQ(check_umbrella(umbrella, existing), complaints{});
}

TEST(tidy, public_headers_open_with_the_five_paragraphs) {
  // The umbrella has no layout and no death of its own: its opening comment is the map.
  const auto check = [](const std::string& file, const std::string& text) {
    return is_umbrella(file) ? complaints{} : check_opening(file, text);
  };
  EXPECT_EQ(check_under(public_folder, check), "");
}

TEST(tidy, lines_have_at_most_100_columns) {
  EXPECT_EQ(check_under(code_folders, check_width), "");
}

TEST(tidy, orders_stay_at_home) { EXPECT_EQ(check_under(code_folders, check_orders), ""); }

TEST(tidy, tools_and_examples_see_public_headers_only) {
  std::set<std::string> private_headers;
  for (const auto& file : sources_under("src")) {
    if (file.path.ends_with(".hpp")) private_headers.insert(fs::path(file.path).filename());
  }
  constexpr std::array<std::string_view, 3> folders = {"tools", "examples", "experiments"};
  const auto check = [&](const std::string& file, const std::string& text) {
    return check_public(file, text, private_headers);
  };
  EXPECT_EQ(check_under(folders, check), "");
}

TEST(tidy, no_leftovers) { EXPECT_EQ(check_under(code_folders, check_leftovers), ""); }

// ---- the checkers, on text that breaks their rules ----

TEST(tidy_checker, layer_order) {
  EXPECT_EQ(check_layer("include/cyto/lane.hpp", "#include <cyto/types.hpp>\n#include <span>\n"),
            complaints{});
  EXPECT_EQ(check_layer("include/cyto/lane.hpp", "\n#include \"cyto/turn.hpp\"\n"),
            complaints{"include/cyto/lane.hpp:2: turn does not stand below lane"});
  EXPECT_EQ(check_layer("include/cyto/lane.hpp", "# include <cyto/cyto.hpp>").size(), 1U);
  EXPECT_EQ(check_layer("include/cyto/lane.hpp", "#include \"mailbox.hpp\"").size(), 1U);
  EXPECT_EQ(check_layer("include/cyto/lane.hpp", "#include <cyto/lane.hpp>").size(), 1U);
  EXPECT_EQ(check_layer("include/cyto/lane.hpp", "#include <cyto/gizmo.hpp>").size(), 1U);
  EXPECT_EQ(check_layer("include/cyto/gizmo.hpp", "").size(), 1U);
}

TEST(tidy_checker, heavy_headers) {
  const std::string heavy = "#include <functional>\n#include <iostream>\n";
  EXPECT_EQ(check_layer("include/cyto/lane.hpp", heavy).size(), 2U);
  EXPECT_EQ(check_layer("include/cyto/message.hpp", heavy), complaints{});
  const std::string flatbuffers = "#include <flatbuffers/flatbuffers.h>\n";
  EXPECT_EQ(check_layer("include/cyto/lane.hpp", flatbuffers).size(), 1U);
  EXPECT_EQ(check_layer("include/cyto/message.hpp", flatbuffers), complaints{});
  EXPECT_EQ(check_layer("include/cyto/error.hpp", "#include \"update_generated.h\"").size(), 1U);
  EXPECT_EQ(check_layer("include/cyto/pool.hpp", "#include <boost/any.hpp>").size(), 1U);
}

TEST(tidy_checker, umbrella) {
  const std::set<std::string> existing = {"types", "error", "lane", "cyto"};
  const std::string types = "#include <cyto/types.hpp>\n";
  const std::string error = "#include <cyto/error.hpp>\n";
  const std::string lane = "#include \"cyto/lane.hpp\"\n";
  EXPECT_EQ(check_umbrella(types + error + lane, existing), complaints{});
  EXPECT_EQ(check_umbrella(error + types + lane, existing).size(), 1U);
  EXPECT_EQ(check_umbrella(types + lane, existing).size(), 1U);
  EXPECT_EQ(check_umbrella("", existing).size(), 1U);
}

TEST(tidy_checker, opening_comment) {
  const std::string good = "// What: x\n//\n// Who: x\n// Layout: x\n// Ordering: x\n// Death: x\n";
  EXPECT_EQ(check_opening("a.hpp", good), complaints{});
  EXPECT_EQ(check_opening("a.hpp", "#pragma once\n\n" + good + "int a;"), complaints{});
  EXPECT_EQ(check_opening("a.hpp", "").size(), 1U);
  EXPECT_EQ(check_opening("a.hpp", "int a;\n" + good).size(), 1U);
  EXPECT_EQ(check_opening("a.hpp", "// Who What Layout Ordering Death").size(), 1U);
  EXPECT_EQ(check_opening("a.hpp", "// What Who Layout Ordering").size(), 1U);
  EXPECT_EQ(check_opening("a.hpp", "// Whatever Who Layout Ordering Death").size(), 1U);
}

TEST(tidy_checker, width) {
  EXPECT_EQ(check_width("a.cpp", std::string(100, 'a') + "\n"), complaints{});
  EXPECT_EQ(check_width("a.cpp", "\n" + std::string(101, 'a')),
            complaints{"a.cpp:2: 101 columns, 100 at most"});
  std::string wide;
  for (int i = 0; i < 100; ++i) wide += "µ";
  EXPECT_EQ(check_width("a.cpp", wide), complaints{});
  EXPECT_EQ(check_width("a.cpp", wide + "µ").size(), 1U);
}

TEST(tidy_checker, orders) {
  const std::string text = std::string("word.load(std::memory_") + "order_acquire);\n";
  for (const char* home : {"include/cyto/cursor.hpp", "include/cyto/doorbell.hpp", "src/futex.cpp",
                           "tests/litmus/store.cpp"}) {
    EXPECT_EQ(check_orders(home, text), complaints{}) << home;
  }
  for (const char* other : {"include/cyto/lane.hpp", "src/lane.cpp", "bench/lane_bench.cpp"}) {
    EXPECT_EQ(check_orders(other, text).size(), 1U) << other;
  }
  EXPECT_EQ(check_orders("src/lane.cpp", "word.observe();"), complaints{});
}

TEST(tidy_checker, public_includes) {
  const std::set<std::string> hidden = {"futex.hpp"};
  const auto check = [&](const char* text) { return check_public("tools/a.cpp", text, hidden); };
  EXPECT_EQ(check("#include <cyto/turn.hpp>\n#include \"topology.hpp\"\n"), complaints{});
  EXPECT_EQ(check("#include \"src/process.hpp\"").size(), 1U);
  EXPECT_EQ(check("#include <../src/process.hpp>").size(), 1U);
  EXPECT_EQ(check("#include \"futex.hpp\"").size(), 1U);
  EXPECT_EQ(check("#include \"cyto/turn.hpp\""),
            complaints{"tools/a.cpp:1: write <cyto/turn.hpp>"});
}

TEST(tidy_checker, leftovers) {
  EXPECT_EQ(check_leftovers("a.cpp", "mkstemp(\"/tmp/aXXXXXX\"); // a toddler\n"), complaints{});
  EXPECT_EQ(check_leftovers("a.cpp", "int a;\t\n"), complaints{"a.cpp:1: a tab character"});
  for (std::string word : {"FIXME_", "XXX_", "TODO_"}) {
    word.pop_back();  // The list itself must not be a finding.
    EXPECT_EQ(check_leftovers("a.cpp", "// " + word + ": later").size(), 1U) << word;
  }
}

}  // namespace
