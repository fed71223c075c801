// What a message type looks like as text, and which texts may follow which.
#include "cyto/schema.hpp"

#include <gtest/gtest.h>

#include "shapes_generated.h"
#include "trees_generated.h"
#include "update_generated.h"

namespace cyto::test {
namespace {

// ---- from a generated header to text ----

TEST(SchemaText, ListsEveryTypeThatAMessageIsMadeOf) {
  EXPECT_EQ(message_schema<shape::Shape>(), "message " +
                                                std::to_string(message_kind<shape::Shape>()) +
                                                " shape.Shape\n"
                                                "type 0 table\n"
                                                "field 0 id ulong\n"
                                                "field 1 old int\n"
                                                "field 2 side ubyte 1\n"
                                                "field 3 odd short 2\n"
                                                "field 4 spot struct! 3\n"
                                                "field 5 text string\n"
                                                "field 6 leaf table 4\n"
                                                "field 7 branches [table] 5\n"
                                                "field 8 bytes [ubyte]\n"
                                                "field 9 spots [struct] 3\n"
                                                "field 10 any_type utype 6\n"
                                                "field 11 any union 6\n"
                                                "field 12 many_type [utype] 6\n"
                                                "field 13 many [union] 6\n"
                                                "field 14 texts [string]!\n"
                                                "field 15 sides [ubyte] 1\n"
                                                "field 16 flag bool\n"
                                                "field 17 part double\n"
                                                "type 1 enum\n"
                                                "field 0 buy value\n"
                                                "field 1 sell value\n"
                                                "type 2 enum\n"
                                                "field 3 three value\n"
                                                "field 9 nine value\n"
                                                "type 3 struct of 12 bytes\n"
                                                "field 0 line uint\n"
                                                "field 4 cells [short:3]\n"
                                                "field 10 side ubyte 1\n"
                                                "type 4 table\n"
                                                "field 0 number int\n"
                                                "field 1 next table 4\n"
                                                "field 2 text string!\n"
                                                "type 5 table\n"
                                                "field 0 leaves [table]! 4\n"
                                                "type 6 union\n"
                                                "field 0 NONE nothing\n"
                                                "field 1 Leaf table 4\n"
                                                "field 2 Branch table 5\n");
}

TEST(SchemaText, TypeThatHoldsItselfEnds) {
  EXPECT_EQ(message_schema<tree::Node>(), "message " + std::to_string(message_kind<tree::Node>()) +
                                              " tree.Node\n"
                                              "type 0 table\n"
                                              "field 0 number ulong\n"
                                              "field 1 text string\n"
                                              "field 2 names [string]\n"
                                              "field 3 children [table] 0\n");
}

TEST(SchemaText, StructOfAnyAlignmentIsFoundToBeOptional) {
  EXPECT_NE(message_schema<tree::Aligned>().find("field 0 wide struct 1\n"), std::string::npos)
      << message_schema<tree::Aligned>();
}

TEST(SchemaText, RequiredVectorsAreFound) {
  EXPECT_NE(message_schema<Update>().find("field 0 cell [ubyte]!\nfield 1 value [ubyte]!\n"),
            std::string::npos)
      << message_schema<Update>();
}

struct without_tables {
  static constexpr const char* GetFullyQualifiedName() { return "bare.Message"; }
};

TEST(SchemaText, HeaderWithoutTypeTablesGivesTheNameAlone) {
  EXPECT_EQ(message_schema<without_tables>(),
            "message " + std::to_string(message_kind<without_tables>()) + " bare.Message\n");
}

// ---- from two texts to an objection ----

std::string program(const std::string& lines) { return program_line() + "\n" + lines; }

// Of a message whose types are these.
std::string objection(const std::string& now, const std::string& next) {
  const std::string message = "message 1 shop.Order\n";
  return takeover_objection(program(message + now), program(message + next));
}

std::string table(const std::string& fields) { return "type 0 table\n" + fields; }

const std::string two_fields = table("field 0 id ulong\nfield 1 price int\n");

TEST(Takeover, ByTheSameIsFine) {
  EXPECT_EQ(objection(two_fields, two_fields), "");
  const std::string all = message_schema<shape::Shape>() + message_schema<tree::Node>();
  EXPECT_EQ(takeover_objection(program(all), program(all)), "");
}

TEST(Takeover, OfAnotherLayoutIsNot) {
  EXPECT_EQ(takeover_objection("cyto worker of layout 2\n", "cyto worker of layout 3\n"),
            "is a cyto worker of layout 3, not a cyto worker of layout 2");
}

TEST(Takeover, WithAHandlerMoreIsFineAndWithOneLessIsNot) {
  const std::string one = program("message 1 shop.Order\n");
  const std::string two = program("message 1 shop.Order\nmessage 2 shop.Bill\n");
  EXPECT_EQ(takeover_objection(one, two), "");
  EXPECT_EQ(takeover_objection(two, one),
            "does not handle shop.Bill, which the one that runs does; messages of it may be "
            "waiting");
}

TEST(Takeover, WithAFieldMoreAtTheEndIsFineAndSoIsTheWayBack) {
  const std::string three = two_fields + "field 2 note string\n";
  EXPECT_EQ(objection(two_fields, three), "");
  EXPECT_EQ(objection(three, two_fields), "");
}

TEST(Takeover, WithARenamedFieldIsFine) {
  EXPECT_EQ(objection(two_fields, table("field 0 id ulong\nfield 1 cost int\n")), "");
}

TEST(Takeover, WithAFieldOfAnotherTypeIsNot) {
  EXPECT_EQ(objection(two_fields, table("field 0 id ulong\nfield 1 price double\n")),
            "reads messages otherwise; shop.Order.price is double, for the one that runs int");
  EXPECT_NE(objection(two_fields, table("field 0 id ulong\nfield 1 price uint\n")), "");
  EXPECT_NE(objection(two_fields, table("field 0 id ulong\nfield 1 price [int]\n")), "");
}

TEST(Takeover, WithTwoFieldsInEachOthersPlaceIsNot) {
  EXPECT_EQ(objection(table("field 0 low int\nfield 1 high int\n"),
                      table("field 0 high int\nfield 1 low int\n")),
            "reads messages otherwise; shop.Order.low is number 1, for the one that runs 0");
}

TEST(Takeover, WithAFieldTakenOutOfTheMiddleIsNot) {
  EXPECT_NE(objection(table("field 0 a int\nfield 1 b int\nfield 2 c int\n"),
                      table("field 0 a int\nfield 1 c int\n")),
            "");
}

TEST(Takeover, WithARequiredFieldMoreIsNot) {
  EXPECT_EQ(objection(two_fields, two_fields + "field 2 note string!\n"),
            "reads messages otherwise; shop.Order.note is required, and messages of before may "
            "lack it");
  const std::string optional = table("field 0 note string\n");
  const std::string required = table("field 0 note string!\n");
  EXPECT_NE(objection(optional, required), "");
  EXPECT_EQ(objection(required, optional), "");
  EXPECT_EQ(objection(required, required), "");
}

TEST(Takeover, LooksIntoTablesAtAnyDepth) {
  const auto nested = [](const std::string& leaf) {
    return table("field 0 lines [table] 1\n") + "type 1 table\nfield 0 at table 2\n" +
           "type 2 table\n" + leaf;
  };
  EXPECT_EQ(objection(nested("field 0 x int\n"), nested("field 0 x int\nfield 1 y int\n")), "");
  EXPECT_EQ(objection(nested("field 0 x int\n"), nested("field 0 x long\n")),
            "reads messages otherwise; shop.Order.lines.at.x is long, for the one that runs int");
}

TEST(Takeover, ComparesTypesByWhereTheyAreUsedAndNotByTheirNumbers) {
  const std::string now = table("field 0 a table 1\nfield 1 b table 2\n") +
                          "type 1 table\nfield 0 x int\ntype 2 table\nfield 0 y long\n";
  const std::string next = table("field 0 a table 2\nfield 1 b table 1\n") +
                           "type 1 table\nfield 0 y long\ntype 2 table\nfield 0 x int\n";
  EXPECT_EQ(objection(now, next), "");
}

TEST(Takeover, OfATypeThatHoldsItselfEnds) {
  const std::string now = table("field 0 next table 0\nfield 1 x int\n");
  EXPECT_EQ(objection(now, now), "");
  EXPECT_NE(objection(now, table("field 0 next table 0\nfield 1 x long\n")), "");
}

TEST(Takeover, WithAStructThatIsNotTheSameIsNot) {
  const auto with = [](const std::string& spot) {
    return table("field 0 at struct 1\n") + "type 1 struct of " + spot;
  };
  const std::string now = with("8 bytes\nfield 0 x int\nfield 4 y int\n");
  EXPECT_EQ(objection(now, with("8 bytes\nfield 0 x int\nfield 4 row int\n")), "");
  EXPECT_EQ(objection(now, with("12 bytes\nfield 0 x int\nfield 4 y int\nfield 8 z int\n")),
            "reads messages otherwise; shop.Order.at is a struct of 12 bytes, for the one that "
            "runs a struct of 8 bytes");
  EXPECT_NE(objection(now, with("8 bytes\nfield 0 both long\n")), "");
  EXPECT_NE(objection(with("8 bytes\nfield 0 both long\n"), now), "");
  EXPECT_NE(objection(now, table("field 0 at table 1\n") + "type 1 table\n"), "");
}

TEST(Takeover, WithAUnionThatHasGrownIsFineAndWithAnotherMemberIsNot) {
  const auto with = [](const std::string& members) {
    return table("field 0 any_type utype 1\nfield 1 any union 1\n") +
           "type 1 union\nfield 0 NONE nothing\n" + members +
           "type 2 table\nfield 0 x int\ntype 3 table\nfield 0 x long\n";
  };
  EXPECT_EQ(objection(with("field 1 A table 2\n"), with("field 1 A table 2\nfield 2 B table 3\n")),
            "");
  EXPECT_NE(objection(with("field 1 A table 2\n"), with("field 1 A table 3\n")), "");
  EXPECT_NE(objection(with("field 1 A table 2\nfield 2 B table 3\n"),
                      with("field 1 B table 3\nfield 2 A table 2\n")),
            "");
}

TEST(Takeover, WithAnEnumThatHasGrownIsFineAndWithAMovedValueIsNot) {
  const auto with = [](const std::string& values) {
    return table("field 0 side ubyte 1\n") + "type 1 enum\n" + values;
  };
  const std::string now = with("field 0 buy value\nfield 1 sell value\n");
  EXPECT_EQ(objection(now, with("field 0 buy value\nfield 1 sell value\nfield 2 swap value\n")),
            "");
  EXPECT_EQ(objection(now, table("field 0 side ubyte\n")), "");
  EXPECT_EQ(objection(now, with("field 0 sell value\nfield 1 buy value\n")),
            "reads messages otherwise; shop.Order.side.buy is number 1, for the one that runs 0");
  EXPECT_NE(objection(now, table("field 0 side short 1\n") + "type 1 enum\nfield 0 buy value\n"),
            "");
}

TEST(Takeover, WithFieldsThatAreNotKnownIsJudgedByItsHandlersAlone) {
  EXPECT_EQ(objection("", two_fields), "");
  EXPECT_EQ(objection(two_fields, ""), "");
  EXPECT_EQ(
      objection(table("field 0 - int\nfield 1 - int\n"), table("field 0 - int\nfield 1 - int\n")),
      "");
}

TEST(Takeover, OfATextWithoutSenseIsJudgedAllTheSame) {
  for (const char* text : {"", "\n", "message", "field 0 a int\n", "type 0 table\nfield\nfield 0\n",
                           "type\nfield 99999999999999999999 a table 99999999999999999999\n",
                           "type 0 table\nfield 0 id ulong 7\n", "\xff\xfe\n what \n"}) {
    EXPECT_NE(takeover_objection(program(two_fields), text), "") << text;
    objection(two_fields, text);
    objection(text, two_fields);
  }
}

}  // namespace
}  // namespace cyto::test
