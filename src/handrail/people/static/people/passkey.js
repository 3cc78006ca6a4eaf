/* allauth tells of a failed or canceled passkey only on the console; a person should read it. */
document.addEventListener('allauth.error', function (event) {
  event.preventDefault()
  const alert = document.getElementById('passkey-failed')
  const main = document.getElementById('main-content')
  main.prepend(alert)
  alert.hidden = false
})
