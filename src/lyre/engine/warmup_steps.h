#pragma once

#include <functional>
#include <vector>

#include "lyre/base/result.h"
#include "lyre/base/warmup.h"
#include "lyre/codec/codec.h"
#include "lyre/engine/engine_parts.h"
#include "lyre/lm/language_model.h"

namespace lyre {

// What every backend runs once, so that no request is the first of its shape. The steps refer to
// their arguments, which must outlive them; see LanguageModel::warmup_steps() for those of one
// backend alone.

/// The step that speaks one frame of one sequence.
inline constexpr const char* kFrameStep = "lm.frame";

/// Prompts, a whole frame, decodes of batches, of one token and of several in a step where the
/// backend draws so many, the sampler with everything on and with nothing on. Every size class
/// where info().every_shape_pays, else those that take different code paths.
std::vector<WarmupStep> language_model_shapes(LanguageModel& model, const CodeLayout& layout);

/// The first frame of a stream, the next ones, the end, a preview, and batches as above.
std::vector<WarmupStep> codec_shapes(Codec& codec);

/// Sentences are cut and prompts are built once for a short and for a long text: regular
/// expressions are compiled, tables of the tokenizer and of the sentence splitter are touched.
/// `prepare` does what a request of that text does before it is posted.
std::vector<WarmupStep> text_shapes(std::function<Status(const std::string& text)> prepare);

/// As many channels at once as requests may run, so that the allocator has their memory at hand.
WarmupStep channels_step(int channels, size_t channel_samples);

}  // namespace lyre
