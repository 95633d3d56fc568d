// Named after the faults of other servers' token decoders that each test guards against.
#include "lyre/codec/frame_assembler.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace lyre {
namespace {

constexpr TokenId kFirst = 128266;
constexpr int kCodebook = 4096;
const CodeLayout kLayout{kFirst, kCodebook, {128258}};

TokenId id(int slot, int code) { return kLayout.slot_first(slot) + code; }

std::vector<CodeFrame> assemble(FrameAssembler& assembler, const std::vector<TokenId>& ids) {
  std::vector<CodeFrame> frames;
  for (const TokenId token : ids) {
    if (const auto frame = assembler.push(token)) frames.push_back(*frame);
  }
  return frames;
}

std::vector<TokenId> ids_of(const std::vector<CodeFrame>& frames) {
  std::vector<TokenId> ids;
  for (const CodeFrame& frame : frames) {
    for (int slot = 0; slot < CodeFrame::kSlots; ++slot) {
      ids.push_back(id(slot, frame.codes[static_cast<size_t>(slot)]));
    }
  }
  return ids;
}

const CodeFrame kA{{1, 2, 3, 4, 5, 6, 7}};
const CodeFrame kB{{11, 12, 13, 14, 15, 16, 17}};
const CodeFrame kC{{4095, 4095, 4095, 4095, 4095, 4095, 4095}};

TEST(FrameAssembler, SevenIdsMakeAFrame) {
  FrameAssembler assembler(kLayout);
  EXPECT_EQ(assemble(assembler, ids_of({kA, kB, kC})), (std::vector{kA, kB, kC}));
  EXPECT_EQ(assembler.frames(), 3);
  EXPECT_EQ(assembler.dropped_frames(), 0);
  EXPECT_EQ(assembler.ignored_ids(), 0);
  EXPECT_EQ(assembler.pending_slots(), 0);
}

// `token > 0` as the test for a code loses every legal code 0 and shifts what follows.
TEST(FrameAssembler, B1_CodeZeroIsACode) {
  const CodeFrame zeros{};
  for (int slot = 0; slot < CodeFrame::kSlots; ++slot) {
    CodeFrame one_zero = kA;
    one_zero.codes[static_cast<size_t>(slot)] = 0;
    FrameAssembler assembler(kLayout);
    EXPECT_EQ(assemble(assembler, ids_of({one_zero, kB})), (std::vector{one_zero, kB})) << slot;
  }
  FrameAssembler assembler(kLayout);
  EXPECT_EQ(assemble(assembler, ids_of({zeros, zeros})), (std::vector{zeros, zeros}));
}

// `> 4096` as the range check lets index 4096 pass to a codebook of 4096 rows.
TEST(FrameAssembler, B2_CodebookSizeIsNoCode) {
  FrameAssembler assembler(kLayout);
  // One past the last code of slot 6 is one past all codes.
  std::vector<TokenId> ids = ids_of({kA});
  ids.back() = id(6, kCodebook);
  EXPECT_TRUE(assemble(assembler, ids).empty());
  EXPECT_EQ(assembler.pending_slots(), 6);
  EXPECT_EQ(assembler.ignored_ids(), 1);
  // In any other slot it is code 0 of the next one: the frame is broken, not shifted.
  for (int slot = 0; slot < 6; ++slot) {
    FrameAssembler other(kLayout);
    ids = ids_of({kA, kB});
    ids[static_cast<size_t>(slot)] = id(slot, kCodebook);
    EXPECT_EQ(assemble(other, ids), std::vector{kB}) << slot;
    EXPECT_EQ(other.dropped_frames(), slot == 0 ? 0 : 1) << slot;
  }
}

// Nothing in front of, between or behind the frames is lost: N frames in, N out, one and two too.
TEST(FrameAssembler, B4_EveryFrameCounts) {
  for (size_t n = 1; n <= 5; ++n) {
    FrameAssembler assembler(kLayout);
    const std::vector<CodeFrame> frames(n, kB);
    EXPECT_EQ(assemble(assembler, ids_of(frames)), frames);
  }
}

// A lost id costs its frame and no more: the next frame starts where its own ids say.
TEST(FrameAssembler, B7_LostIdCostsOneFrame) {
  for (int lost = 0; lost < CodeFrame::kSlots; ++lost) {
    FrameAssembler assembler(kLayout);
    std::vector<TokenId> ids = ids_of({kA, kB, kC});
    ids.erase(ids.begin() + CodeFrame::kSlots + lost);
    EXPECT_EQ(assemble(assembler, ids), (std::vector{kA, kC})) << lost;
    EXPECT_EQ(assembler.dropped_frames(), lost == 0 ? 0 : 1) << lost;
  }
}

TEST(FrameAssembler, B7_DoubledIdCostsOneFrame) {
  for (int doubled = 1; doubled < CodeFrame::kSlots - 1; ++doubled) {
    FrameAssembler assembler(kLayout);
    std::vector<TokenId> ids = ids_of({kA, kB, kC});
    const auto at = ids.begin() + CodeFrame::kSlots + doubled;
    ids.insert(at, *at);
    EXPECT_EQ(assemble(assembler, ids), (std::vector{kA, kC})) << doubled;
    EXPECT_EQ(assembler.dropped_frames(), 1) << doubled;
  }
  // The last slot twice: its frame is complete, the other has nowhere to go.
  FrameAssembler last(kLayout);
  std::vector<TokenId> six = ids_of({kA, kB});
  six.insert(six.begin() + 6, six[6]);
  EXPECT_EQ(assemble(last, six), (std::vector{kA, kB}));
  EXPECT_EQ(last.ignored_ids(), 1);
  // Slot 0 twice: the second one starts the frame.
  FrameAssembler assembler(kLayout);
  std::vector<TokenId> ids = ids_of({kA});
  ids.insert(ids.begin(), id(0, 9));
  EXPECT_EQ(assemble(assembler, ids), std::vector{kA});
  EXPECT_EQ(assembler.dropped_frames(), 1);
}

// A special id in the middle of the speech must not take a slot.
TEST(FrameAssembler, B8_StrayIdsShiftNothing) {
  const std::vector<TokenId> strays = {128261,
                                       128258,
                                       128000,
                                       0,
                                       -1,
                                       kFirst - 1,
                                       id(6, kCodebook),
                                       std::numeric_limits<TokenId>::max(),
                                       std::numeric_limits<TokenId>::min()};
  for (const TokenId stray : strays) {
    for (int at = 0; at <= CodeFrame::kSlots; ++at) {
      FrameAssembler assembler(kLayout);
      std::vector<TokenId> ids = ids_of({kA, kB});
      ids.insert(ids.begin() + at, stray);
      EXPECT_EQ(assemble(assembler, ids), (std::vector{kA, kB})) << stray << " at " << at;
      EXPECT_EQ(assembler.ignored_ids(), 1);
      EXPECT_EQ(assembler.dropped_frames(), 0);
    }
  }
}

// `% 4096` turns misalignment into noise; here a code of a wrong slot never enters a frame.
TEST(FrameAssembler, B8_WrongSlotIsNotMasked) {
  FrameAssembler assembler(kLayout);
  EXPECT_TRUE(assemble(assembler, {id(3, 1), id(4, 2), id(5, 3), id(6, 4)}).empty());
  EXPECT_EQ(assembler.ignored_ids(), 4);
  EXPECT_EQ(assemble(assembler, ids_of({kB})), std::vector{kB});
}

TEST(FrameAssembler, CodebookSizeComesFromTheLayout) {
  FrameAssembler assembler(CodeLayout{100, 1024, {}});
  std::vector<TokenId> ids;
  for (int slot = 0; slot < CodeFrame::kSlots; ++slot) ids.push_back(100 + slot * 1024 + 1023);
  const auto frames = assemble(assembler, ids);
  ASSERT_EQ(frames.size(), 1u);
  for (const int32_t code : frames[0].codes) EXPECT_EQ(code, 1023);
}

}  // namespace
}  // namespace lyre
