// Every format of coordinates the model writes, whole, damaged and hostile.
#include "text/marks.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "core/check.h"
#include "text/label_text.h"

namespace qwenvl {
namespace {

// "box 1 2 3 4 'label'" and "point 1 2 'label'", one per mark.
std::vector<std::string> found_in(std::string_view answer) {
  std::vector<std::string> out;
  for (const FoundMark& mark : scan_marks(answer)) {
    std::string line = mark.kind == FoundMark::Kind::box ? "box" : "point";
    for (int i = 0; i < mark.n_numbers(); ++i) {
      const WrittenNumber& number = mark.numbers[static_cast<std::size_t>(i)];
      line += fmt::format(" {}", number.value);
      // The range must hold just the number.
      const std::string text(answer.substr(number.begin, number.end - number.begin));
      EXPECT_EQ(std::stod(text), number.value) << text;
    }
    out.push_back(line + " '" + mark.label + "'");
  }
  return out;
}

using Lines = std::vector<std::string>;

TEST(Marks, FencedJsonList) {
  EXPECT_EQ(found_in("Here:\n```json\n[\n\t{\"bbox_2d\": [1, 2, 3, 4], \"label\": \"a cup\"},\n"
                     "\t{\"bbox_2d\": [10, 20, 30, 40], \"label\": \"plate\"}\n]\n```"),
            (Lines{"box 1 2 3 4 'a cup'", "box 10 20 30 40 'plate'"}));
}

TEST(Marks, UnfencedJsonAndLabelBeforeTheBox) {
  EXPECT_EQ(found_in(R"([{"label": "x", "bbox_2d": [1,2,3,4]}])"), (Lines{"box 1 2 3 4 'x'"}));
}

TEST(Marks, PointsAndFractions) {
  EXPECT_EQ(found_in(R"({"point_2d": [12.5, -3], "label": "tip"})"),
            (Lines{"point 12.5 -3 'tip'"}));
}

TEST(Marks, OtherKeysAndTextContent) {
  EXPECT_EQ(
      found_in(
          R"([{"bbox_2d": [1,2,3,4], "color": "red", "text_content": "TOTAL", "type": "t"},])"),
      (Lines{"box 1 2 3 4 'TOTAL'"}));
  EXPECT_EQ(found_in(R"({"bbox": [1,2,3,4]})"), (Lines{"box 1 2 3 4 ''"}));
}

TEST(Marks, LabelWinsOverLesserNames) {
  EXPECT_EQ(found_in(R"({"name": "n", "label": "l", "text": "t", "bbox": [1,2,3,4]})"),
            (Lines{"box 1 2 3 4 'l'"}));
}

TEST(Marks, SpacesBeforeCommas) {
  EXPECT_EQ(found_in(R"({"bbox_2d" : [ 1 , 2 , 3 , 4 ] , "label" : "a , b"})"),
            (Lines{"box 1 2 3 4 'a , b'"}));
}

TEST(Marks, SingleQuotesWithApostrophes) {
  EXPECT_EQ(found_in("[{'bbox_2d': [1, 2, 3, 4], 'label': 'the dog's ear'}, "
                     "{'bbox_2d': [5, 6, 7, 8], 'label': \"cat's\"}]"),
            (Lines{"box 1 2 3 4 'the dog's ear'", "box 5 6 7 8 'cat's'"}));
}

TEST(Marks, TrailingCommas) {
  EXPECT_EQ(found_in(R"([{"bbox_2d": [1, 2, 3, 4,], "label": "x",},])"),
            (Lines{"box 1 2 3 4 'x'"}));
}

TEST(Marks, CutOffAnywhereKeepsWholeCoordinates) {
  const std::string answer =
      R"([{"bbox_2d": [1, 2, 3, 4], "label": "x"}, {"bbox_2d": [5, 6, 7, 8], )";
  EXPECT_EQ(found_in(answer), (Lines{"box 1 2 3 4 'x'", "box 5 6 7 8 ''"}));
  EXPECT_EQ(found_in(R"([{"bbox_2d": [1, 2, 3, 4], "label": "x"}, {"bbox_2d": [5, 6, 7)"),
            (Lines{"box 1 2 3 4 'x'"}));
  EXPECT_EQ(found_in(R"([{"bbox_2d": [1, 2, 3, 4], "label": "half a la)"),
            (Lines{"box 1 2 3 4 ''"}));
  for (std::size_t n = 0; n <= answer.size(); ++n) found_in(answer.substr(0, n));
}

TEST(Marks, NestedObjectsTakeTheNearestLabel) {
  EXPECT_EQ(found_in(R"({"label": "group", "items": [{"box": {"bbox_2d": [1,2,3,4]}},
                         {"label": "own", "bbox_2d": [5,6,7,8]}]})"),
            (Lines{"box 1 2 3 4 'group'", "box 5 6 7 8 'own'"}));
}

TEST(Marks, ListsOfListsUnderOneKey) {
  EXPECT_EQ(found_in(R"({"bbox_2d": [[1,2,3,4], [5,6,7,8]], "label": "both"})"),
            (Lines{"box 1 2 3 4 'both'", "box 5 6 7 8 'both'"}));
}

TEST(Marks, EscapesInLabels) {
  EXPECT_EQ(found_in(R"({"bbox_2d": [1,2,3,4], "label": "a\"b\\ \u00e9 \ud83d\ude00 \ud83d\n"})"),
            (Lines{"box 1 2 3 4 'a\"b\\ é 😀 \xef\xbf\xbd'"}));
}

TEST(Marks, BracketsInsideStringsAreText) {
  EXPECT_EQ(found_in(R"({"label": "}]{ [", "bbox_2d": [1,2,3,4]})"),
            (Lines{"box 1 2 3 4 '}]{ ['"}));
}

TEST(Marks, ListsThatAreNoCoordinates) {
  EXPECT_EQ(
      found_in(
          R"({"sizes": [1,2,3,4], "bbox_2d": [1,2,3], "bbox": "no", "point_2d": [1,2,3,4,5]})"),
      (Lines{}));
  EXPECT_EQ(
      found_in(
          R"({"bbox_2d": [1, 2, NaN, 4]} {"bbox_2d": [1e999, 2, 3, 4]} {"bbox_2d": [1, 2, 3, 4x]})"),
      (Lines{}));
}

TEST(Marks, XmlPoints) {
  EXPECT_EQ(found_in(R"(<points x1="10" y1="20" x2='30' y2="40.5" alt="pin">the pin</points>)"),
            (Lines{"point 10 20 'pin'", "point 30 40.5 'pin'"}));
  EXPECT_EQ(found_in(R"(<points y="2" x="1">the pin</points> <point x="3" y="4"/>)"),
            (Lines{"point 1 2 'the pin'", "point 3 4 ''"}));
}

TEST(Marks, XmlPointsDamaged) {
  EXPECT_EQ(found_in(R"(<points x1="10" y1="20" x2="30)"), (Lines{"point 10 20 ''"}));
  EXPECT_EQ(found_in(R"(<points x1="a" y1="20" x2="3 4" y2="1">t</points> <pointsx1="1" y1="2">)"),
            (Lines{}));
}

TEST(Marks, PlainLines) {
  EXPECT_EQ(
      found_in(
          "10,20,30,40 a red car\n  50, 60, 70, 80\tdog \nnothing 1,2,3,4 x\n1,2,3,4\n1,2,3 x\n"),
      (Lines{"box 10 20 30 40 'a red car'", "box 50 60 70 80 'dog'"}));
}

TEST(Marks, HtmlBoxes) {
  EXPECT_EQ(
      found_in("```html\n<html><body>\n<h2 class=\"x\" data-bbox=\"1 2 3 4\">Title's {</h2>\n"
               "<img data-bbox='5 6 7 8'/>\n<p data-bbox=\"9 9 9\">no</p>"
               "<p data-bbox=\"9 10 11 12\"> \"quoted\" [text <b>x</b></p></body></html>\n```"),
      (Lines{"box 1 2 3 4 'Title's {'", "box 5 6 7 8 'img'", "box 9 10 11 12 '\"quoted\" [text'"}));
}

TEST(Marks, ToolCalls) {
  EXPECT_EQ(
      found_in("<tool_call>\n{\"name\": \"mobile_use\", \"arguments\": {\"action\": \"swipe\", "
               "\"coordinate\": [935, 406], \"coordinate2\": [1, 2]}}\n</tool_call>"),
      (Lines{"point 935 406 'swipe'", "point 1 2 'swipe'"}));
}

TEST(Marks, ProseWithoutCoordinates) {
  EXPECT_EQ(found_in("It's {a} \"test\" [1, 2], <b>bold</b> data-bbox=\"1 2 3 4\" ``` x"),
            (Lines{}));
  EXPECT_EQ(found_in(""), (Lines{}));
}

TEST(Marks, StrayQuoteDoesNotHideWhatFollows) {
  EXPECT_EQ(found_in("{ 5\" wide\n{\"bbox_2d\": [1,2,3,4], \"label\": \"x\"}"),
            (Lines{"box 1 2 3 4 'x'"}));
}

TEST(Marks, DeepNestingAndFloodsOfOneByteAreHarmless) {
  for (const char* piece : {"{",
                            "[",
                            "}",
                            "\"",
                            "'",
                            "\\\"",
                            "`",
                            "<points ",
                            "<points x1=\"",
                            "data-bbox=\"",
                            "<p data-bbox=\"1 2 3 4\" ",
                            "{\"bbox\":[",
                            "'a' ",
                            "{'",
                            ",",
                            "1,",
                            "\n1,2,3,4 ",
                            "<points x='\"' y=\"'\" ",
                            "{\"label\":\"a\",\"bbox\":[1,2]",
                            "[{",
                            "\\"}) {
    std::string text;
    while (text.size() < 300'000) text += piece;
    scan_marks(text);
    scan_marks("{" + text);
  }
  const std::string deep(100'000, '[');
  EXPECT_EQ(found_in("{\"a\":" + deep + "\n```\n{\"bbox\":[1,2,3,4]}"), (Lines{"box 1 2 3 4 ''"}));
}

TEST(Marks, LongLabelsAreCutAtAWholeCharacter) {
  std::string label;
  while (label.size() < 2 * kMaxLabelBytes) label += "é";
  const auto marks = scan_marks("{\"bbox\": [1,2,3,4], \"label\": \"x" + label + "\"}");
  ASSERT_EQ(marks.size(), 1u);
  EXPECT_EQ(marks[0].label, "x" + label.substr(0, kMaxLabelBytes - 2) + "…");
}

}  // namespace
}  // namespace qwenvl
