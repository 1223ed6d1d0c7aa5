// Shapes, views and slices.
#include "core/tensor.h"

#include <gtest/gtest.h>

#include <vector>

namespace qwenvl {
namespace {

TEST(Shape, CountsPrintsAndCompares) {
  EXPECT_EQ(Shape().count(), 1);
  EXPECT_EQ(Shape().str(), "[]");
  EXPECT_EQ((Shape{2, 3, 4}).count(), 24);
  EXPECT_EQ((Shape{2, 0, 4}).count(), 0);
  EXPECT_EQ((Shape{3840, 1280}).str(), "[3840, 1280]");
  EXPECT_EQ((Shape{1, 2}), (Shape{1, 2}));
  EXPECT_NE((Shape{1, 2}), (Shape{1, 2, 1}));
}

TEST(Shape, RefusesMoreThanSixDimensions) { EXPECT_THROW((Shape{1, 1, 1, 1, 1, 1, 1}), Error); }

TEST(DTypes, HaveSizesAndNames) {
  EXPECT_EQ(size_of(DType::f32), 4u);
  EXPECT_EQ(size_of(DType::bf16), 2u);
  EXPECT_EQ(size_of(DType::f16), 2u);
  EXPECT_EQ(size_of(DType::i32), 4u);
  EXPECT_EQ(size_of(DType::i64), 8u);
  EXPECT_EQ(size_of(DType::u8), 1u);
  EXPECT_EQ(size_of(DType::i8), 1u);
  EXPECT_STREQ(name_of(DType::bf16), "bfloat16");
}

class TensorViews : public testing::Test {
 protected:
  void SetUp() override {
    for (int i = 0; i < 12; ++i) numbers_.push_back(static_cast<float>(i));
    tensor_ = Tensor(numbers_.data(), DType::f32, {3, 4});
  }
  std::vector<float> numbers_;
  Tensor tensor_;
};

TEST_F(TensorViews, RowsFollowEachOther) {
  EXPECT_TRUE(tensor_.is_contiguous());
  EXPECT_EQ(tensor_.rows(), 3);
  EXPECT_EQ(tensor_.row_width(), 4);
  EXPECT_EQ(tensor_.row<float>(2)[1], 9);
}

TEST_F(TensorViews, SliceOfRowsSharesTheMemory) {
  const Tensor rows = tensor_.slice_rows(1, 2);
  EXPECT_EQ(rows.shape, (Shape{2, 4}));
  EXPECT_EQ(rows.row<float>(0), numbers_.data() + 4);
  EXPECT_EQ(tensor_.slice_rows(3, 0).rows(), 0);
}

TEST_F(TensorViews, SliceOfColumnsKeepsTheRowStride) {
  const Tensor columns = tensor_.slice_columns(1, 2);
  EXPECT_EQ(columns.shape, (Shape{3, 2}));
  EXPECT_EQ(columns.row_stride, 4);
  EXPECT_FALSE(columns.is_contiguous());
  EXPECT_EQ(columns.row<float>(2)[1], 10);
  EXPECT_EQ(columns.slice_rows(1, 1).slice_columns(1, 1).row<float>(0)[0], 6);
}

TEST_F(TensorViews, SlicesOutsideAreRefused) {
  EXPECT_THROW(tensor_.slice_rows(2, 2), Error);
  EXPECT_THROW(tensor_.slice_rows(-1, 2), Error);
  EXPECT_THROW(tensor_.slice_columns(3, 2), Error);
  EXPECT_THROW(tensor_.slice_columns(0, 5), Error);
}

TEST_F(TensorViews, ReadingAsAnotherTypeIsRefused) { EXPECT_THROW(tensor_.as<bf16>(), Error); }

TEST_F(TensorViews, AnEmptyTensorIsFalse) {
  EXPECT_FALSE(Tensor());
  EXPECT_TRUE(tensor_);
}

}  // namespace
}  // namespace qwenvl
