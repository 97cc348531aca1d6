// SPDX-License-Identifier: Apache-2.0
//
// Normalizers, pre-tokenizers, decoders and post-processors, each alone. Expected values were
// checked against the Hugging Face tokenizers library 0.23.3.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "nibble/base/error.h"
#include "nibble/text/decoder.h"
#include "nibble/text/normalizer.h"
#include "nibble/text/post_processor.h"
#include "nibble/text/pretokenizer.h"
#include "nibble/text/text_collector.h"

namespace nibble {
namespace {

using nlohmann::json;
using Strings = std::vector<std::string>;
const std::string kSource = "test.json";

std::string normalized(const char* object, std::string text) {
  make_normalizer(json::parse(object), kSource)->normalize(text);
  return text;
}

TEST(Normalizer, UnicodeForms) {
  EXPECT_EQ(normalized(R"({"type":"NFC"})", "e\u0301"), "\u00e9");
  EXPECT_EQ(normalized(R"({"type":"NFD"})", "\u00e9"), "e\u0301");
  EXPECT_EQ(normalized(R"({"type":"NFKC"})", "\ufb01\u00b2"), "fi2");
  EXPECT_EQ(normalized(R"({"type":"NFKD"})", "\u212b"), "A\u030a");
}

TEST(Normalizer, LowercaseHasNoContext) {
  EXPECT_EQ(normalized(R"({"type":"Lowercase"})", "A\u0130\u03a3"), "ai\u0307\u03c3");
}

TEST(Normalizer, StripTakesTheSidesAskedFor) {
  EXPECT_EQ(normalized(R"({"type":"Strip","strip_left":true,"strip_right":true})", " \u3000a b\n"),
            "a b");
  EXPECT_EQ(normalized(R"({"type":"Strip","strip_left":true,"strip_right":false})", " a "), "a ");
  EXPECT_EQ(normalized(R"({"type":"Strip","strip_left":false,"strip_right":true})", " a "), " a");
  EXPECT_EQ(normalized(R"({"type":"Strip","strip_left":true,"strip_right":true})", "  "), "");
}

TEST(Normalizer, PrependReplaceAndSequence) {
  EXPECT_EQ(normalized(R"({"type":"Prepend","prepend":"_"})", "a"), "_a");
  EXPECT_EQ(normalized(R"({"type":"Prepend","prepend":"_"})", ""), "");
  EXPECT_EQ(normalized(R"({"type":"Replace","pattern":{"String":"."},"content":"--"})", "a.b."),
            "a--b--");
  EXPECT_EQ(normalized(R"({"type":"Replace","pattern":{"Regex":"\\s+"},"content":" "})", "a \n b"),
            "a b");
  EXPECT_EQ(normalized(R"({"type":"Sequence","normalizers":[{"type":"Lowercase"},
                           {"type":"Prepend","prepend":"x"}]})",
                       "A"),
            "xa");
}

Strings split(const char* object, const std::string& text) {
  PreTokenized input;
  input.text = text;
  input.pieces = {{.begin = 0, .end = static_cast<int64_t>(text.size()), .at_start = true}};
  make_pre_tokenizer(json::parse(object), kSource)->apply(input);
  Strings out;
  for (const Piece& piece : input.pieces) out.emplace_back(input.view(piece));
  return out;
}

std::string split_object(const std::string& behavior, bool invert) {
  return R"({"type":"Split","pattern":{"String":"-"},"behavior":")" + behavior + R"(","invert":)" +
         (invert ? "true}" : "false}");
}

TEST(PreTokenizer, SplitBehaviors) {
  const std::string text = "the-final--countdown";
  EXPECT_EQ(split(split_object("Removed", false).c_str(), text),
            (Strings{"the", "final", "countdown"}));
  EXPECT_EQ(split(split_object("Isolated", false).c_str(), text),
            (Strings{"the", "-", "final", "-", "-", "countdown"}));
  EXPECT_EQ(split(split_object("MergedWithPrevious", false).c_str(), text),
            (Strings{"the-", "final-", "-", "countdown"}));
  EXPECT_EQ(split(split_object("MergedWithNext", false).c_str(), text),
            (Strings{"the", "-final", "-", "-countdown"}));
  EXPECT_EQ(split(split_object("Contiguous", false).c_str(), text),
            (Strings{"the", "-", "final", "--", "countdown"}));
  EXPECT_EQ(split(split_object("Removed", true).c_str(), text), (Strings{"-", "-", "-"}));
}

TEST(PreTokenizer, ByteLevel) {
  EXPECT_EQ(split(R"({"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true})", "it's a"),
            (Strings{"\u0120it", "'s", "\u0120a"}));
  EXPECT_EQ(split(R"({"type":"ByteLevel","add_prefix_space":false,"use_regex":false})", "\u00e9 b"),
            (Strings{"\u00c3\u00a9\u0120b"}));
}

TEST(PreTokenizer, DigitsPunctuationAndWhiteSpace) {
  EXPECT_EQ(split(R"({"type":"Digits","individual_digits":true})", "a12"),
            (Strings{"a", "1", "2"}));
  EXPECT_EQ(split(R"({"type":"Digits","individual_digits":false})", "a12b"),
            (Strings{"a", "12", "b"}));
  EXPECT_EQ(split(R"({"type":"Punctuation"})", "a,,b"), (Strings{"a", ",", ",", "b"}));
  EXPECT_EQ(split(R"({"type":"Punctuation","behavior":"Contiguous"})", "a,,b"),
            (Strings{"a", ",,", "b"}));
  EXPECT_EQ(split(R"({"type":"Whitespace"})", "Hey  man!? ok_1"),
            (Strings{"Hey", "man", "!?", "ok_1"}));
  EXPECT_EQ(split(R"({"type":"WhitespaceSplit"})", " Hey,\n man "), (Strings{"Hey,", "man"}));
}

TEST(PreTokenizer, MetaspaceSchemes) {
  const char* always = R"({"type":"Metaspace","replacement":"_","prepend_scheme":"always"})";
  EXPECT_EQ(split(always, "a  b"), (Strings{"_a", "_", "_b"}));
  EXPECT_EQ(split(always, " a"), (Strings{"_a"}));
  EXPECT_EQ(
      split(R"({"type":"Metaspace","replacement":"_","prepend_scheme":"never","split":false})",
            "a b"),
      (Strings{"a_b"}));
  EXPECT_EQ(split(R"({"type":"Metaspace","replacement":"_","add_prefix_space":false})", "a b"),
            (Strings{"a", "_b"}));
  EXPECT_EQ(split(R"({"type":"Metaspace","replacement":"_","add_prefix_space":true})", "a b"),
            (Strings{"_a", "_b"}));
}

TEST(PreTokenizer, MetaspaceFirstMarksTheStartOfTheTextOnly) {
  EXPECT_EQ(split(R"({"type":"Sequence","pretokenizers":[
                      {"type":"Split","pattern":{"String":"-"},"behavior":"Isolated","invert":false},
                      {"type":"Metaspace","replacement":"_","prepend_scheme":"first"}]})",
                  "a-b"),
            (Strings{"_a", "-", "b"}));
}

std::string decoded(const char* object, const Strings& tokens) {
  TextCollector text;
  const auto decoder = make_decoder(json::parse(object), kSource);
  const auto filter = decoder->start(text);
  for (const std::string& token : tokens) filter->push(token, true);
  filter->finish();
  return text.take();
}

TEST(Decoder, ByteLevelJoinsCharactersOverTokens) {
  EXPECT_EQ(decoded(R"({"type":"ByteLevel"})", {"\u00c3", "\u00a9\u0120x"}), "\u00e9 x");
  EXPECT_EQ(decoded(R"({"type":"ByteLevel"})", {"\u00c3", "x"}), "\ufffdx");
  EXPECT_EQ(decoded(R"({"type":"ByteLevel"})", {"a", "\u00c3"}), "a\ufffd");
  EXPECT_EQ(decoded(R"({"type":"ByteLevel"})", {"\u65e5", "a"}),
            "\u65e5"
            "a");
}

TEST(Decoder, ByteFallbackTakesRunsWhole) {
  const char* object = R"({"type":"ByteFallback"})";
  EXPECT_EQ(decoded(object, {"<0xE5>", "<0x8f>", "<0xab>", "a"}),
            "\u53eb"
            "a");
  EXPECT_EQ(decoded(object, {"<0xE5>", "<0x8f>", "a"}),
            "\ufffd\ufffd"
            "a");
  EXPECT_EQ(decoded(object, {"<0x61>", "<0xE5>"}), "\ufffd\ufffd");
  EXPECT_EQ(decoded(object, {"<0xZZ>", "<0x6>"}), "<0xZZ><0x6>");
}

TEST(Decoder, StripWorksOnTokensOrOnTheFusedText) {
  EXPECT_EQ(
      decoded(R"({"type":"Strip","content":"H","start":1,"stop":0})", {"Hey", " friend!", "HHH"}),
      "ey friend!HH");
  EXPECT_EQ(decoded(R"({"type":"Strip","content":"y","start":0,"stop":1})", {"Hey", "yy!", "ayy"}),
            "Heyy!ay");
  EXPECT_EQ(decoded(R"({"type":"Sequence","decoders":[{"type":"Fuse"},
                        {"type":"Strip","content":" ","start":1,"stop":2}]})",
                    {" ", " a ", " ", " "}),
            " a ");
}

TEST(Decoder, ReplaceMetaspaceAndWordEnds) {
  EXPECT_EQ(decoded(R"({"type":"Replace","pattern":{"String":"_"},"content":" "})", {"a_", "_b"}),
            "a  b");
  EXPECT_EQ(decoded(R"({"type":"Metaspace","replacement":"_","prepend_scheme":"always"})",
                    {"_a", "_b", "c"}),
            "a bc");
  EXPECT_EQ(
      decoded(R"({"type":"Metaspace","replacement":"_","prepend_scheme":"never"})", {"_a", "_b"}),
      " a b");
  EXPECT_EQ(decoded(R"({"type":"BPEDecoder","suffix":"</w>"})", {"a</w>", "b", "c</w>"}), "a bc");
}

TEST(PostProcessor, PutsTokensAroundTheText) {
  const auto around = [](const char* object) {
    const PostProcessor processor(json::parse(object), kSource);
    Encoding text;
    text.ids = {9};
    return processor.process(text, nullptr, true).ids;
  };
  using Ids = std::vector<int32_t>;
  EXPECT_EQ(around(R"({"type":"TemplateProcessing",
      "single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}},
                {"SpecialToken":{"id":"</s>","type_id":0}}], "pair":[],
      "special_tokens":{"<s>":{"id":"<s>","ids":[1,5],"tokens":["<s>","x"]},
                        "</s>":{"id":"</s>","ids":[2],"tokens":["</s>"]}}})"),
            (Ids{1, 5, 9, 2}));
  EXPECT_EQ(around(R"({"type":"BertProcessing","sep":["[SEP]",3],"cls":["[CLS]",4]})"),
            (Ids{4, 9, 3}));
  EXPECT_EQ(around(R"({"type":"Sequence","processors":[{"type":"ByteLevel"}]})"), Ids{9});
}

TEST(Components, RefuseWhatIsUnknownOrMalformed) {
  for (const char* object :
       {R"({"type":"Odd"})", R"({"type":"Strip"})", R"({"type":"Prepend"})", R"([])", R"({})",
        R"({"type":"Prepend","prepend":3})", R"({"type":"Sequence"})", R"({"type":7})",
        R"({"type":"Sequence","normalizers":{}})",
        R"({"type":"Strip","strip_left":1,"strip_right":1})",
        R"({"type":"Replace","pattern":"x","content":"y"})",
        R"({"type":"Replace","pattern":{"Regex":"("},"content":"y"})"}) {
    EXPECT_THROW(make_normalizer(json::parse(object), kSource), Error) << object;
  }
  for (
      const char* object :
      {R"({"type":"Odd"})", R"({"type":"ByteLevel"})", R"({"type":"Digits"})",
       R"({"type":"Split","pattern":{"String":"-"},"behavior":"Sideways","invert":false})",
       R"({"type":"Metaspace","replacement":"ab"})", R"({"type":"Metaspace","replacement":""})",
       R"({"type":"Metaspace","replacement":"_","prepend_scheme":"sometimes"})",
       R"({"type":"Metaspace","replacement":"_","add_prefix_space":false,"prepend_scheme":"first"})",
       R"({"type":"Split","pattern":{"Glob":"-"},"behavior":"Removed","invert":false})"}) {
    EXPECT_THROW(make_pre_tokenizer(json::parse(object), kSource), Error) << object;
  }
  for (const char* object :
       {R"({"type":"CTC"})", R"({"type":"Strip","content":" ","start":-1,"stop":0})",
        R"({"type":"Strip","content":" ","start":0.5,"stop":0})",
        R"({"type":"Strip","content":" ","start":0,"stop":99999999999})",
        R"({"type":"BPEDecoder","suffix":""})", R"({"type":"Sequence","decoders":[{}]})"}) {
    EXPECT_THROW(make_decoder(json::parse(object), kSource), Error) << object;
  }
  for (
      const char* object :
      {R"({"type":"Odd"})", R"({"type":"TemplateProcessing","single":[],"special_tokens":{}})",
       R"({"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"x"}}],"special_tokens":{}})",
       R"({"type":"TemplateProcessing","single":[{"SpecialToken":{}}],"special_tokens":{}})",
       R"({"type":"TemplateProcessing","single":[{"Sequence":{"id":"C","type_id":0}}],"pair":[],"special_tokens":{}})",
       R"({"type":"TemplateProcessing","single":[{"Sequence":{"id":"A"}}],"special_tokens":[]})",
       R"({"type":"BertProcessing","sep":["x"],"cls":["y",1]})",
       R"({"type":"BertProcessing","sep":["x",-1],"cls":["y",1]})"}) {
    EXPECT_THROW(PostProcessor(json::parse(object), kSource), Error) << object;
  }
}

TEST(Components, ErrorsNameTheFileAndTheType) {
  try {
    make_normalizer(json::parse(R"({"type":"Odd"})"), kSource);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()), "test.json: the normalizer 'Odd' is not supported");
  }
}

}  // namespace
}  // namespace nibble
