// The rule of the job by examples, and against the plainest program that could be right.
#include "examples/revdeps/rule.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "support/naive_rule.hpp"

namespace revdeps {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> names_of(std::string_view stanza) {
  std::vector<std::string> names;
  const std::size_t end = each_name(stanza, [&](std::string_view name) {
    names.emplace_back(name);
    return true;
  });
  EXPECT_EQ(end, stanza.size());
  return names;
}

std::string owner_of(std::string_view stanza) {
  std::string joined;
  return std::string(package_of(stanza, joined));
}

// Shows the cutter `text` in two pieces, the way a source reads: the second only when the cutter
// wants more.
std::vector<std::string> stanzas_of(std::string_view text, std::size_t known) {
  std::vector<std::string> stanzas;
  std::size_t base = 0;
  stanza_cutter cutter;
  for (;;) {
    const bool at_end = known == text.size();
    const std::string_view shown = text.substr(base, known - base);
    if (cutter.cut(shown, at_end)) {
      stanzas.emplace_back(cutter.stanza(shown));
      base += cutter.next();
      cutter.reset();
    } else if (at_end) {
      return stanzas;
    } else {
      known = text.size();
    }
  }
}

std::vector<std::string> stanzas_of(std::string_view text) { return stanzas_of(text, text.size()); }

TEST(Rule, NamesStandBetweenCommasAndBars) {
  EXPECT_THAT(names_of("Package: a\nDepends: b, c | d,e|f"), ElementsAre("b", "c", "d", "e", "f"));
}

TEST(Rule, ANameEndsAtABlankOrAnOpeningBracketOrAColon) {
  EXPECT_THAT(names_of("Depends: a (>= 1), b(>= 1), c [amd64], d<cross>, e:any, f\tg, h i"),
              ElementsAre("a", "b", "c", "d", "e", "f", "h"));
}

TEST(Rule, EmptyNamesAreSkipped) {
  EXPECT_THAT(names_of("Depends: ,a,, ,|b| | (>= 1), :any,\t"), ElementsAre("a", "b"));
  EXPECT_THAT(names_of("Depends:"), IsEmpty());
  EXPECT_THAT(names_of(""), IsEmpty());
}

TEST(Rule, OnlyDependsAndPreDependsCount) {
  EXPECT_THAT(names_of("Package: p\nPre-Depends: a\nRecommends: x\nSuggests: x\nDepends: b\n"
                       "Dependss: x\nXDepends: x\nDepends-x: x\nDepends : x\nProvides: x\nfoo\nd"),
              ElementsAre("a", "b"));
}

TEST(Rule, RepeatedFieldsAllCount) {
  EXPECT_THAT(names_of("Depends: a\nDepends: b, a\nPre-Depends: c\nPre-Depends: d"),
              ElementsAre("a", "b", "a", "c", "d"));
}

TEST(Rule, FieldNamesHaveNoCase) {
  EXPECT_THAT(names_of("dEPENDS: a\npre-DEPENDS: b\nPRE\rDEPENDS: x"), ElementsAre("a", "b"));
  EXPECT_EQ(owner_of("PACKAGE: a"), "a");
}

TEST(Rule, ContinuationLinesAreJoinedWithOneBlank) {
  EXPECT_THAT(names_of("Depends: a,\n b,\n\tc d\n e,\n .\nPackage: p"),
              ElementsAre("a", "b", "c", "."));
  EXPECT_THAT(names_of("Depends:\n a"), ElementsAre("a"));
  // The bracket is closed by nothing but the comma.
  EXPECT_THAT(names_of("Depends: a (>=\n 1), b"), ElementsAre("a", "b"));
}

TEST(Rule, ContinuationLinesOfOtherFieldsDoNotCount) {
  EXPECT_THAT(names_of(" Depends: x\nDescription: y\n Depends: x\nfoo\n x\nDepends: a"),
              ElementsAre("a"));
}

TEST(Rule, OtherBytesBelongToTheName) {
  using namespace std::string_literals;
  EXPECT_THAT(names_of("Depends: a\r, \xff\xfe\v, \0b\r\n"s),
              ElementsAre("a\r", "\xff\xfe\v", "\0b\r"s));
}

TEST(Rule, AStanzaBelongsToItsFirstPackageField) {
  EXPECT_EQ(owner_of("Depends: x\nPackage: a\nPackage: b"), "a");
  EXPECT_EQ(owner_of("Package:\nPackage: b"), "");
  EXPECT_EQ(owner_of("Depends: x\n Package: y\nPackages: z\nPackage"), "");
  EXPECT_EQ(owner_of(""), "");
}

TEST(Rule, PackageNamesAreStrippedNotCut) {
  EXPECT_EQ(owner_of("Package:\t a (b):c,d \t\nVersion: 1"), "a (b):c,d");
  EXPECT_EQ(owner_of("Package:a\r"), "a\r");
  EXPECT_EQ(owner_of("Package: \t \nDepends: b"), "");
}

TEST(Rule, PackageNamesAreJoinedLikeAllValues) {
  EXPECT_EQ(owner_of("Package: a \n\t b\nVersion: 1"), "a b");
  EXPECT_EQ(owner_of("Package:\n a"), "a");
}

TEST(Rule, ANameThatIsNotTakenIsOfferedAgain) {
  const std::string stanza = "Package: p\nDepends: a,\n b | c\nX: y\nPre-Depends:d,, e";
  for (std::size_t stop_every = 1; stop_every < 6; ++stop_every) {
    std::vector<std::string> taken;
    std::size_t position = 0;
    std::size_t offers = 0;
    while (position < stanza.size()) {
      position = each_name(
          stanza,
          [&](std::string_view name) {
            if (++offers % (stop_every + 1) == 0) return false;
            taken.emplace_back(name);
            return true;
          },
          position);
    }
    EXPECT_THAT(taken, ElementsAre("a", "b", "c", "d", "e")) << stop_every;
  }
}

TEST(StanzaCutter, SeparatorsAreEmptyLinesOrHoldBlanks) {
  EXPECT_THAT(stanzas_of("a\nb\n\nc\n \t \nd\n\n\n\t\ne\n"), ElementsAre("a\nb", "c", "d", "e"));
  EXPECT_THAT(stanzas_of("\n  \na\n"), ElementsAre("a"));
  EXPECT_THAT(stanzas_of("a\n .\n x\n"), ElementsAre("a\n .\n x"));
  EXPECT_THAT(stanzas_of("a\r\n\r\nb"), ElementsAre("a\r\n\r\nb"));
}

TEST(StanzaCutter, TheLastLineMayLackItsNewline) {
  EXPECT_THAT(stanzas_of("a\n\nb"), ElementsAre("a", "b"));
  EXPECT_THAT(stanzas_of("a\n "), ElementsAre("a"));
  EXPECT_THAT(stanzas_of("a\n\n\t"), ElementsAre("a"));
}

TEST(StanzaCutter, NothingButSeparatorsHoldsNoStanza) {
  EXPECT_THAT(stanzas_of(""), IsEmpty());
  EXPECT_THAT(stanzas_of("\n \n\t"), IsEmpty());
  stanza_cutter cutter;
  EXPECT_FALSE(cutter.cut("\n \n\t\n  ", false));
  EXPECT_EQ(cutter.skippable(), 5u);
}

TEST(StanzaCutter, WaitsForTheLineAfterTheStanza) {
  stanza_cutter cutter;
  EXPECT_FALSE(cutter.cut("a", false));
  EXPECT_FALSE(cutter.cut("a\n", false));
  EXPECT_FALSE(cutter.cut("a\n ", false));
  EXPECT_TRUE(cutter.cut("a\n \nb", false));
  EXPECT_EQ(cutter.begin(), 0u);
  EXPECT_EQ(cutter.end(), 1u);
  EXPECT_EQ(cutter.next(), 4u);
}

table table_of(const std::vector<std::string>& stanzas) {
  table answer;
  std::string joined;
  for (const std::string& stanza : stanzas) {
    const std::string owner(package_of(stanza, joined));
    if (owner.empty()) continue;
    each_name(stanza, [&](std::string_view name) {
      if (name != owner) answer[std::string(name)].insert(owner);
      return true;
    });
  }
  return answer;
}

std::string random_index(std::mt19937& random) {
  static const std::vector<std::string> words = {"Package:",
                                                 "package:",
                                                 "Depends:",
                                                 "Pre-Depends:",
                                                 "dePends:",
                                                 "X:",
                                                 "a",
                                                 "b",
                                                 "ab",
                                                 "\r",
                                                 "\xff",
                                                 ",",
                                                 ",",
                                                 "|",
                                                 "(",
                                                 "[",
                                                 "<",
                                                 ":",
                                                 " ",
                                                 " ",
                                                 "\t",
                                                 "\n",
                                                 "\n",
                                                 "\n ",
                                                 "\n\n",
                                                 "\n \n",
                                                 "\nPackage: a",
                                                 "\nPackage: b\n",
                                                 "\nDepends: a",
                                                 "\nDepends: b,",
                                                 std::string(1, '\0')};
  std::string text;
  std::uniform_int_distribution<std::size_t> word(0, words.size() - 1);
  for (std::size_t left = std::uniform_int_distribution<std::size_t>(0, 40)(random); left > 0;
       --left) {
    text += words[word(random)];
  }
  return text;
}

TEST(Rule, AgreesWithANaiveProgramOnRandomIndexesCutAnywhere) {
  const std::mt19937::result_type seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (int round = 0; round < 3000; ++round) {
    const std::string text = random_index(random);
    const std::vector<std::string> whole = stanzas_of(text);
    ASSERT_EQ(table_of(whole), naive_table(text)) << testing::PrintToString(text);
    for (std::size_t cut = 0; cut < text.size(); ++cut) {
      ASSERT_EQ(stanzas_of(text, cut), whole) << testing::PrintToString(text) << " cut at " << cut;
    }
  }
}

}  // namespace
}  // namespace revdeps
