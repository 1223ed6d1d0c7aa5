// The model that ships, calibrated on the samples that ship: closer to the original on prompts that
// are none of the samples.
#include <gtest/gtest.h>

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
    return compare_models(kDemoCheckpoint, folder / name, 0).mean_kl;
  };
  EXPECT_LE(divergence("calibrated", kSource + "/samples"), divergence("plain", ""));
}

}  // namespace
}  // namespace qwenvl::testing
