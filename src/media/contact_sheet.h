// Small pictures with captions, row by row under headings, and a line of time above them.
// Before: engine/answers/excerpts.cpp has chosen the frames.   After: write_png.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "media/image.h"

namespace qwenvl {

struct SheetCell {
  Image picture;  // any size
  std::string caption;
};

struct SheetRow {
  std::string heading;
  std::size_t colour = 0;     // of the heading, and of this row's part of the line of time
  double begin = 0, end = 0;  // where that part is, 0 … 1; the same: none
  std::vector<SheetCell> cells;
};

inline constexpr int kSheetColumns = 6;
inline constexpr int kSheetCellWidth = 240;
// The height of a cell whose picture has these sides.
int sheet_cell_height(int height, int width);

Image contact_sheet(const std::string& title, const std::vector<SheetRow>& rows);

}  // namespace qwenvl
