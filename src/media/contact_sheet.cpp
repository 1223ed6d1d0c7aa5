// Before: engine/answers/excerpts.cpp has chosen the frames.   After: write_png.
#include "media/contact_sheet.h"

#include <algorithm>
#include <cmath>

#include "media/draw.h"
#include "media/resize.h"

namespace qwenvl {
namespace {

constexpr int kGap = 8;
constexpr int kTextHeight = 2 * (7 + 2);  // of a plate
constexpr int kTimeline = 12;
constexpr int kWidth = kSheetColumns * (kSheetCellWidth + kGap) + kGap;
constexpr std::uint8_t kPaper = 245;

int row_height(const SheetRow& row) {
  int height = 0;
  for (const SheetCell& cell : row.cells)
    height = std::max(height, sheet_cell_height(cell.picture.height, cell.picture.width));
  const int n_lines = (static_cast<int>(row.cells.size()) + kSheetColumns - 1) / kSheetColumns;
  return kTextHeight + kGap + n_lines * (height + kGap) + kGap;
}

void paste(Image& sheet, const Image& picture, int x, int y) {
  const int rows = std::min(picture.height, sheet.height - y);
  for (int i = 0; i < rows; ++i)
    std::copy_n(picture.row(i), std::size_t{3} * picture.width,
                sheet.row(y + i) + std::size_t{3} * x);
}

void draw_row(Image& sheet, const SheetRow& row, int y) {
  draw_plate(sheet, {kGap, y, row.heading, row.colour});
  y += kTextHeight + kGap;
  int height = 0;
  for (std::size_t i = 0; i < row.cells.size(); ++i) {
    const int column = static_cast<int>(i) % kSheetColumns;
    if (column == 0 && i > 0) y += height + kGap;
    const SheetCell& cell = row.cells[i];
    height = std::max(height, sheet_cell_height(cell.picture.height, cell.picture.width));
    const int x = kGap + column * (kSheetCellWidth + kGap);
    const int tall = sheet_cell_height(cell.picture.height, cell.picture.width);
    paste(sheet, resize_bicubic(cell.picture, tall, kSheetCellWidth, ResizeKernel::pillow), x, y);
    draw_plate(sheet, {x, y + tall - kTextHeight, cell.caption, row.colour});
  }
}

}  // namespace

int sheet_cell_height(int height, int width) {
  const double tall = static_cast<double>(kSheetCellWidth) * height / std::max(width, 1);
  return std::clamp(static_cast<int>(std::lround(tall)), kTextHeight, 2 * kSheetCellWidth);
}

Image contact_sheet(const std::string& title, const std::vector<SheetRow>& rows) {
  Image sheet;
  sheet.width = kWidth;
  sheet.height = kGap + kTextHeight + kGap + kTimeline + 2 * kGap;
  const int top = sheet.height;
  for (const SheetRow& row : rows) sheet.height += row_height(row);
  sheet.rgb.assign(std::size_t{3} * kWidth * sheet.height, kPaper);

  draw_plate(sheet, {kGap, kGap, title, kPlainColour});
  const int line = 2 * kGap + kTextHeight, length = kWidth - 2 * kGap;
  draw_bar(sheet, {kGap, line, kGap + length, line + kTimeline}, kPlainColour);
  for (const SheetRow& row : rows) {
    if (row.begin == row.end) continue;
    const int from = kGap + static_cast<int>(std::floor(row.begin * length));
    const int to = kGap + static_cast<int>(std::ceil(row.end * length));
    draw_bar(sheet, {from, line, std::max(to, from + 3), line + kTimeline}, row.colour);
  }
  int y = top;
  for (const SheetRow& row : rows) {
    draw_row(sheet, row, y);
    y += row_height(row);
  }
  return sheet;
}

}  // namespace qwenvl
