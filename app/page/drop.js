// A file that is dropped anywhere goes to the field for model files; other fields take their own.
(() => {
  const field = () => document.querySelector('.st-key-upload input[type=file]');
  const brings = event => [...(event.dataTransfer?.types ?? [])].includes('Files');
  const isElsewhere = event =>
    Boolean(event.target.closest?.('[data-testid="stFileUploaderDropzone"]'));
  const mark = on => document.body.classList.toggle('takes-file', on);
  document.addEventListener('dragover', event => {
    if (!brings(event) || !field()) return;
    mark(!isElsewhere(event));
    event.preventDefault();
  });
  document.addEventListener('dragleave', event => {
    if (event.relatedTarget === null) mark(false);
  });
  document.addEventListener('drop', event => {
    mark(false);
    if (!brings(event) || isElsewhere(event) || !field()) return;
    event.preventDefault();
    const files = new DataTransfer();
    files.items.add(event.dataTransfer.files[0]);
    field().files = files.files;
    field().dispatchEvent(new Event('change', { bubbles: true }));
  });
})();
