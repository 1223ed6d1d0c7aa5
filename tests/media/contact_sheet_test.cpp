// What a contact sheet shows, and where.
#include "media/contact_sheet.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

namespace qwenvl {
namespace {

Image plain(int height, int width, std::uint8_t value) {
  Image image{height, width, {}};
  image.rgb.assign(std::size_t{3} * height * width, value);
  return image;
}

bool has_colour(const Image& image, int y, std::array<std::uint8_t, 3> colour) {
  for (int x = 0; x < image.width; ++x) {
    if (std::equal(colour.begin(), colour.end(), image.row(y) + std::size_t{3} * x)) return true;
  }
  return false;
}

TEST(ContactSheet, GrowsByItsRowsAndShowsTheirPictures) {
  const SheetRow one{"one", 0, 0, 0, {{plain(20, 40, 10), "00:01.00"}}};
  SheetRow wide = one;
  for (int i = 0; i < kSheetColumns; ++i) wide.cells.push_back(one.cells[0]);
  const Image empty = contact_sheet("t", {}), small = contact_sheet("t", {one}),
              large = contact_sheet("t", {one, wide});
  EXPECT_LT(empty.height, small.height);
  EXPECT_GT(large.height - small.height, 2 * sheet_cell_height(20, 40));  // a second line of cells
  EXPECT_TRUE(has_colour(small, small.height - 60, {10, 10, 10}));
}

TEST(ContactSheet, MarksAnEventOnTheLineOfTime) {
  const SheetRow row{"event", 0, 0.5, 0.6, {}};
  const Image sheet = contact_sheet("t", {row});
  const int line = 40;  // inside it
  const auto at = [&](double part) {
    return sheet.row(line)[3 * static_cast<int>(part * sheet.width)];
  };
  EXPECT_EQ(at(0.55), 255);  // the first colour is red
  EXPECT_LT(at(0.45), 100);
  EXPECT_LT(at(0.65), 100);
}

TEST(ContactSheet, ExtremeShapesStayWithinTheirCells) {
  EXPECT_LE(sheet_cell_height(10'000, 1), 2 * kSheetCellWidth);
  EXPECT_GE(sheet_cell_height(1, 10'000), 1);
  const SheetRow row{std::string(5000, 'x'), 7, 0, 1, {{plain(300, 1, 9), std::string(999, 'y')}}};
  EXPECT_GT(contact_sheet(std::string(5000, 'z'), {row}).height, 0);
}

}  // namespace
}  // namespace qwenvl
