// The model that ships, calibrated on the samples that ship: closer to the original on the prompt in
// the middle, none of which is a sample. Of 24 prompts one or two on which so small a model cannot decide make up
// most of the mean, so the median is what is compared.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "e2e/demo_samples.h"
#include "qwenvl/quantize.h"
#include "support/temporary_folder.h"

namespace qwenvl::testing {
namespace {

TEST(QuantizeDemo, CalibrationBringsFourBitsCloserToTheOriginal) {
  const TemporaryFolder folder;
  const auto divergence = [&](const std::string& name, const std::string& calibration) {
    quantize({.model = kDemoCheckpoint,
              .out = folder / name,
              .format = "int4-small",
              .calibration = calibration});
    std::vector<double> kl;
    for (const PromptComparison& c : compare_models(kDemoCheckpoint, folder / name, 0).prompts) {
      kl.push_back(c.kl);
    }
    const auto middle = kl.begin() + static_cast<std::ptrdiff_t>(kl.size() / 2);
    std::nth_element(kl.begin(), middle, kl.end());
    return *middle;
  };
  EXPECT_LE(divergence("calibrated", kSource + "/samples"), divergence("plain", ""));
}

}  // namespace
}  // namespace qwenvl::testing
