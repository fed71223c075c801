// A package index of a user's: rule.hpp agrees with a naive program that copies at every step,
// wherever the text is cut and whenever a name is not taken at once.
#include "examples/revdeps/rule.hpp"

#include "fuzz/input.hpp"
#include "support/naive_rule.hpp"

namespace revdeps {
namespace {

// Shows the text in pieces of `piece` bytes, as a source that reads a file does.
std::vector<std::string> stanzas_of(std::string_view text, std::size_t piece) {
  std::vector<std::string> out;
  stanza_cutter cutter;
  std::size_t begin = 0;
  std::size_t shown = std::min(piece, text.size());
  for (;;) {
    const std::string_view part = text.substr(begin, shown - begin);
    if (cutter.cut(part, shown == text.size())) {
      out.emplace_back(cutter.stanza(part));
      begin += cutter.next();
      cutter.reset();
    } else if (shown == text.size()) {
      return out;
    } else {
      begin += cutter.skippable();
      cutter.reset();
      shown = std::min(shown + piece, text.size());
    }
  }
}

table table_of(const std::vector<std::string>& stanzas, std::size_t refuse_every) {
  table answer;
  std::string joined;
  std::size_t offers = 0;
  for (const std::string& stanza : stanzas) {
    const std::string owner(package_of(stanza, joined));
    if (owner.empty()) continue;
    std::size_t position = 0;
    while (position < stanza.size()) {
      const auto take = [&](std::string_view name) {
        if (++offers % refuse_every == 0) return false;
        if (name != owner) answer[std::string(name)].insert(owner);
        return true;
      };
      position = each_name(stanza, take, position);
    }
  }
  return answer;
}

}  // namespace
}  // namespace revdeps

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace revdeps;
  cyto::fuzz::input in(data, size);
  const std::size_t piece = 1 + in.take<std::uint8_t>();
  const std::size_t refuse_every = 2 + in.take<std::uint8_t>() % 8;
  const std::string text(in.rest());
  const std::vector<std::string> whole = stanzas_of(text, text.size() + 1);
  cyto::fuzz::require(stanzas_of(text, piece) == whole, "stanzas do not depend on the pieces");
  cyto::fuzz::require(table_of(whole, refuse_every) == naive_table(text), "the tables are equal");
  return 0;
}
