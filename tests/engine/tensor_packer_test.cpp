// Tensors that quantising writes as they are: of any shape, but of numbers.
#include "engine/quantize/tensor_packer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "checkpoint/safetensors.h"
#include "core/mapped_file.h"
#include "support/error_of.h"
#include "support/temporary_folder.h"

namespace qwenvl {
namespace {

class FilledTensor final : public StoredTensor {
 public:
  FilledTensor(Shape shape, float number) : StoredTensor(shape, "f16", "file"), number_(number) {}

 private:
  void convert_rows(std::int64_t, std::int64_t n, float* out) const override {
    std::fill_n(out, n * row_width(), number_);
  }
  const float number_;
};

// What writing it plain ends in: the error's text, or "".
std::string error_of_plain(const StoredTensor& stored) {
  const TemporaryFolder folder;
  SafetensorsWriter writer(folder.path() / "a.safetensors", {{"x", DType::bf16, stored.shape()}},
                           {});
  TensorPacker packer(1, writer, [](std::int64_t) {});
  return error_of([&] {
    packer.write_plain({"x", &stored});
    writer.finish();
  });
}

TEST(TensorPacker, WritesPlainNumbers) {
  EXPECT_EQ(error_of_plain(FilledTensor({3, 5}, 0.5f)), "");
}

TEST(TensorPacker, WritesMatricesOfNoColumnsOrNoRows) {
  EXPECT_EQ(error_of_plain(FilledTensor({4, 0}, 0)), "");
  EXPECT_EQ(error_of_plain(FilledTensor({0, 4}, 0)), "");
}

TEST(TensorPacker, RefusesToWriteWhatIsNoNumber) {
  const std::string error =
      error_of_plain(FilledTensor({3, 5}, std::numeric_limits<float>::quiet_NaN()));
  EXPECT_EQ(error, "bad_file: 'x': rows 0 to 2 hold a number that is not finite, expected weights");
}

}  // namespace
}  // namespace qwenvl
